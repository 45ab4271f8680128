package radius

import "enlace/contracts"

// Traffic of all the sessions together. Folding a record never lessens it.
func (l Lineage) Traffic() contracts.Traffic {
	var t contracts.Traffic
	for i := range l {
		t = t.Plus(contracts.Traffic{Up: l[i].Input, Down: l[i].Output})
	}
	return t
}
