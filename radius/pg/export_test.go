package pg

// The statements whose plans are looked at.
const (
	WhoHadStatement = whoHad
	HeldByStatement = heldBy
)
