package contracts

// CycleOf is the billing cycle that day d lies in: from one nominal due date (dueDay is 1 to 31, or a shorter month's
// last day) until the next, which is not part of it.
func CycleOf(d Date, dueDay int) (from, until Date) {
	y, m, _ := d.Parts()
	if MonthDay(y, m, dueDay) > d {
		m--
	}
	return MonthDay(y, m, dueDay), MonthDay(y, m+1, dueDay)
}
