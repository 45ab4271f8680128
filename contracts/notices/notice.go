// Package notices sends overdue notices and records each that really went out. The record is a legal fact: without it
// nothing is restricted.
package notices

import (
	"context"
	"fmt"
	"strings"

	"enlace/contracts"
)

// Notice is an overdue notice of one invoice to one customer.
type Notice struct {
	Customer contracts.Customer
	Contract contracts.ContractID
	Debt     contracts.Debt
	MinDays  int // between this notice and any restriction
	Provider string
}

// Channel delivers notices. Send returns what proves that the notice went out, such as the mail server's answer; an
// error means that it did not, and nothing is recorded. ErrNoAddress says that this channel cannot reach the customer.
type Channel interface {
	Name() string
	Send(ctx context.Context, n Notice) (proof string, err error)
}

// ErrNoAddress says that the customer cannot be reached over a channel.
var ErrNoAddress = fmt.Errorf("the customer has no address for this channel")

// Subject of the message.
func (n Notice) Subject() string {
	return fmt.Sprintf("%s: fatura %s em atraso", n.Provider, n.Debt.InvoiceID)
}

// Text of the message, in Portuguese. It states what the rules require (RGC, Resolution 765/2023, arts. 70 and 71):
// the reason, the rules and terms, the value of the debt, the possible negative listing and the term of reconnection.
func (n Notice) Text() string {
	due := n.Debt.EffectiveDue
	y, m, d := due.Parts()
	var b strings.Builder
	fmt.Fprintf(&b, "Prezado(a) %s,\n\n", n.Customer.Name)
	fmt.Fprintf(&b, "A fatura %s do contrato %d, vencida em %02d/%02d/%d, está em aberto no valor de %s, sem os encargos por atraso.\n\n",
		n.Debt.InvoiceID, n.Contract, d, m, y, contracts.FormatMoney(n.Debt.Open, contracts.Portuguese))
	fmt.Fprintf(&b, "Por falta de pagamento, decorridos ao menos %d dias deste aviso o serviço poderá ser reduzido e depois suspenso, nos termos do contrato e do Regulamento Geral de Direitos do Consumidor de Serviços de Telecomunicações (Resolução Anatel 765/2023).\n\n", n.MinDays)
	b.WriteString("O débito poderá ser inscrito em cadastros de proteção ao crédito, após aviso próprio.\n\n")
	b.WriteString("Com o pagamento, o serviço é restabelecido em até um dia, sem custo; em geral, em segundos. Se já pagou, desconsidere este aviso.\n")
	return b.String()
}
