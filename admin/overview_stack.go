package admin

import (
	"strconv"

	"enlace/contracts"
)

// stackPart is a stretch of the bar that shows how accesses divide among statuses, in thousandths.
type stackPart struct {
	Status      contracts.Status
	from, width int
}

// stack lays the statuses side by side; small ones keep a visible width, at the cost of the last.
func (v *overviewView) stack() []stackPart {
	var out []stackPart
	at := 0
	for _, c := range v.byStatus() {
		w := min(share(c.N, v.Total), 1000-at)
		out = append(out, stackPart{c.Status, at, w})
		at += w
	}
	if n := len(out); n > 0 {
		out[n-1].width += 1000 - at
	}
	return out
}

// percent with one decimal, worked out in integers.
func percent(p *page, n, total int) string {
	if total == 0 {
		return ""
	}
	permille := (n*2000 + total) / (2 * total)
	point := "."
	if p.lang == contracts.Portuguese {
		point = ","
	}
	return strconv.Itoa(permille/10) + point + strconv.Itoa(permille%10) + " %"
}
