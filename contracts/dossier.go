package contracts

// Dossier is all that decides what a contract's subscriber may have.
type Dossier struct {
	Contract *Contract
	Customer Customer
	Facts    []Fact
	Rules    []Rules
	Plans    map[PlanID]Plan // as they are at the instant asked for
}

// Timeline of the dossier's contract.
func (d *Dossier) Timeline(opt Options) Life { return Timeline(d.Contract, d.Facts, d.Rules, opt) }

// Hit is one line of a search over the whole registry.
type Hit struct {
	Customer CustomerID
	Contract ContractID // 0 for a customer without contracts
	Name     string
	Login    string // "" for a contract without accesses
}
