package admin

import (
	"net/http"
	"strconv"
	"strings"

	"enlace/billing"
	"enlace/contracts"
)

// customersPerPage bounds one page of customers.
const customersPerPage = 40

type customerRow struct {
	contracts.Customer
	Contracts []contracts.Contract
	Standings []Standing
}

type customersView struct {
	Query string
	Rows  []customerRow
	Next  contracts.CustomerID
}

func (s *server) customersPage(w http.ResponseWriter, r *http.Request, p *page) error {
	v := customersView{Query: strings.TrimSpace(r.FormValue("q"))}
	after, _ := strconv.ParseInt(r.FormValue("after"), 10, 64)
	list, err := s.Contracts.Customers(r.Context(), bounded(v.Query), contracts.CustomerID(after), customersPerPage+1)
	if err != nil {
		return err
	}
	if len(list) > customersPerPage {
		list = list[:customersPerPage]
		v.Next = list[len(list)-1].ID
	}
	for _, c := range list {
		row, err := s.customerRow(r, p, c)
		if err != nil {
			return err
		}
		v.Rows = append(v.Rows, row)
	}
	return show(w, r, http.StatusOK, customersList(p, v))
}

func (s *server) customerRow(r *http.Request, p *page, c contracts.Customer) (customerRow, error) {
	row := customerRow{Customer: c}
	var err error
	if row.Contracts, err = s.Contracts.ContractsOf(r.Context(), c.ID); err != nil {
		return row, err
	}
	for _, k := range row.Contracts {
		var st Standing
		for _, a := range k.Accesses {
			if found, ok := s.Directory.Standing(a.Login, a.ID, p.now); ok {
				st = found
				break
			}
		}
		row.Standings = append(row.Standings, st)
	}
	return row, nil
}

// customerOf is the customer that a page's address names.
func (s *server) customerOf(r *http.Request) (contracts.Customer, error) {
	number, err := id[contracts.CustomerID](r, "id")
	if err != nil {
		return contracts.Customer{}, err
	}
	return s.Contracts.Customer(r.Context(), number)
}

func (s *server) customerPage(w http.ResponseWriter, r *http.Request, p *page) error {
	c, err := s.customerOf(r)
	if err != nil {
		return err
	}
	row, err := s.customerRow(r, p, c)
	if err != nil {
		return err
	}
	plans, err := s.Contracts.Plans(r.Context(), p.now)
	if err != nil {
		return err
	}
	invoices, err := s.Billing.Invoices(r.Context(), billing.InvoiceFilter{Customer: c.ID, Limit: 30})
	if err != nil {
		return err
	}
	return show(w, r, http.StatusOK, customerDetail(p, row, plans, invoices, contracts.DateOf(p.now, p.zone)))
}

// newCustomerPage is one form for a customer, his contract and its access.
func (s *server) newCustomerPage(w http.ResponseWriter, r *http.Request, p *page) error {
	plans, err := s.Contracts.Plans(r.Context(), p.now)
	if err != nil {
		return err
	}
	return show(w, r, http.StatusOK, newCustomer(p, contractForm(p, plans), plans))
}

func customerOf(f *form) contracts.Customer {
	return contracts.Customer{Name: f.get("name"), Document: contracts.NormalTaxID(f.get("document")), Email: f.get("email"), Phone: f.get("phone")}
}

// createCustomer records the customer and, where a login was given, the contract. What can be known to be wrong with
// the contract is found before the customer is recorded; if the contract still fails (a login that is taken), the form
// of its own continues with the customer that there now is.
func (s *server) createCustomer(w http.ResponseWriter, r *http.Request, p *page) error {
	f, err := formOf(r)
	if err != nil {
		return err
	}
	plans, err := s.Contracts.Plans(r.Context(), p.now)
	if err != nil {
		return err
	}
	c := customerOf(f)
	f.wrong(c.Validate())
	var contract *contracts.Contract
	var passwords []string
	if f.has("login") {
		contract, passwords = contractOf(f, 0)
		f.wrong(contract.Validate())
		if _, _, err := s.Contracts.FindLogin(r.Context(), f.get("login")); err == nil {
			f.wrong(&contracts.Error{Kind: contracts.Conflict, Code: "duplicate_login", Field: "login", Msg: "the login is already taken"})
		}
	}
	if f.err == nil {
		err = s.Contracts.CreateCustomer(r.Context(), p.actor(), p.now, &c)
	}
	if f.wrong(err) {
		return show(w, r, http.StatusUnprocessableEntity, newCustomer(p, f, plans))
	}
	if err != nil {
		return err
	}
	to := customerPath(c.ID)
	if contract != nil {
		contract.CustomerID = c.ID
		if err := s.Contracts.CreateContract(r.Context(), p.actor(), p.now, contract, passwords); f.wrong(err) {
			return show(w, r, http.StatusUnprocessableEntity, newContract(p, f, &c, plans))
		} else if err != nil {
			return err
		}
		to = contractPath(contract.ID)
	}
	s.say(r, true, p.T("%s is recorded.", c.Name))
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

func (s *server) editCustomerPage(w http.ResponseWriter, r *http.Request, p *page) error {
	c, err := s.customerOf(r)
	if err != nil {
		return err
	}
	f := &form{values: map[string]string{"name": c.Name, "document": document(c.Document), "email": c.Email, "phone": c.Phone}}
	return show(w, r, http.StatusOK, editCustomer(p, f, c.ID))
}

func (s *server) updateCustomer(w http.ResponseWriter, r *http.Request, p *page) error {
	number, err := id[contracts.CustomerID](r, "id")
	if err != nil {
		return err
	}
	f, err := formOf(r)
	if err != nil {
		return err
	}
	c := customerOf(f)
	c.ID = number
	err = s.Contracts.UpdateCustomer(r.Context(), p.actor(), p.now, &c)
	if f.wrong(err) {
		return show(w, r, http.StatusUnprocessableEntity, editCustomer(p, f, number))
	}
	return s.saved(w, r, p, err, customerPath(number))
}

// saved goes on to a page after a form was kept.
func (s *server) saved(w http.ResponseWriter, r *http.Request, p *page, err error, to string) error {
	if err != nil {
		return err
	}
	s.say(r, true, p.T("Saved."))
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}
