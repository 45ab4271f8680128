package radius

// End closes a session that a boot which named itself with identifier (empty: the whole device) ended, and tells whether
// it did.
func (b Boot) End(identifier string, s *Session) bool {
	if !b.ends(identifier, s) {
		return false
	}
	s.infer(b.By, b.At, CauseNASReboot)
	return !s.Open()
}
