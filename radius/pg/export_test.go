package pg

// The statements whose plans are looked at.
const (
	WhoHadStatement = whoHad
	HeldByStatement = heldBy
)

// Forget empties what the store remembers.
func (s *Store) Forget() { s.recent.forget() }
