package postgres

// MigrateFrom is Migrate with other migrations.
var MigrateFrom = migrate

// SnapshotFrom is a position as a feed with other history has it.
func SnapshotFrom(text string, newest int64) Snapshot { return Snapshot{text, newest} }
