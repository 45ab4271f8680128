package nas

import (
	"fmt"
	"strconv"
	"strings"

	"enlace/contracts"
)

// valued sights have a value worth showing.
func sightValue(x Sight, v int64) string {
	switch x {
	case SawIDHex, SawIDText, SawIDBytes, SawInterimKept, SawInterimOther, SawStampClose, SawStampOff, SawStampWild:
		return strconv.FormatInt(v, 10)
	}
	return ""
}

// inWords is a text in English and in Portuguese.
type inWords [2]string

func (w inWords) in(lang contracts.Language) string {
	if lang == contracts.Portuguese {
		return w[1]
	}
	return w[0]
}

var checkTexts = map[Check]inWords{
	CheckBuild:     {"Firmware", "Firmware"},
	CheckMA:        {"Message-Authenticator", "Message-Authenticator"},
	CheckID:        {"Form of Acct-Session-Id", "Forma do Acct-Session-Id"},
	CheckReuse:     {"Reuse of Acct-Session-Id", "Reuso do Acct-Session-Id"},
	CheckInterim:   {"Interim interval", "Intervalo de Interim"},
	CheckGigawords: {"Gigawords", "Gigawords"},
	CheckClass:     {"Class comes back", "Class de volta"},
	CheckClock:     {"Event-Timestamp and clock", "Event-Timestamp e relógio"},
	CheckDelay:     {"Acct-Delay-Time", "Acct-Delay-Time"},
	CheckStop:      {"Stop sent again", "Stop reenviado"},
	CheckBoot:      {"Accounting-On and -Off", "Accounting-On e -Off"},
	CheckIPv6:      {"IPv6 in accounting", "IPv6 na contabilização"},
	CheckPorts:     {"CGNAT ports in accounting", "Portas de CGNAT na contabilização"},
	CheckEffect:    {"Effect of a rate changed by CoA", "Efeito da velocidade mudada por CoA"},
	CheckReach:     {"CoA address and secret", "Endereço e segredo de CoA"},
	CheckSigns:     {"Signature of its replies", "Assinatura das respostas"},
	CheckFrom:      {"Source of its replies", "Origem das respostas"},
	CheckUnknown:   {"CoA for a session that does not exist", "CoA de sessão que não existe"},
	CheckNoChange:  {"CoA that changes nothing", "CoA que não muda nada"},
	CheckIdentify:  {"What names a session", "O que identifica a sessão"},
	CheckCoAClass:  {"Class in a CoA", "Class em um CoA"},
}

var resultTexts = map[Result]inWords{
	Unseen: {"not seen", "não visto"}, Good: {"good", "bom"}, Noted: {"noted", "anotado"}, Bad: {"bad", "ruim"},
}

// formTexts are by check and form; %s is the fact's value, where the form has one.
var formTexts = map[Check]map[Form]inWords{
	CheckBuild: {"says": {"%s", "%s"}},
	CheckMA:    {"signed": {"Access-Requests carry it", "Access-Requests o trazem"}, "unsigned": {"Access-Requests lack it", "Access-Requests sem ele"}},
	CheckID: {"hex": {"%s hexadecimal digits", "%s dígitos hexadecimais"}, "text": {"%s printable characters", "%s caracteres imprimíveis"},
		"bytes": {"%s bytes, not all of them printable", "%s bytes, nem todos imprimíveis"}},
	CheckReuse:   {"new": {"sessions begin under new ids", "sessões começam com ids novos"}, "again": {"another session began under an id already used", "outra sessão começou com um id já usado"}},
	CheckInterim: {"kept": {"every %s s, as asked", "a cada %s s, como pedido"}, "other": {"every %s s, which is not what was asked", "a cada %s s, diferente do pedido"}},
	CheckGigawords: {"sent": {"records carry them", "registros os trazem"},
		"wrapped": {"a counter passed 4 GiB and the record had none", "um contador passou de 4 GiB e o registro não os trouxe"}},
	CheckClass: {"echoed": {"as it was sent", "como foi enviado"}, "none": {"absent", "ausente"}, "altered": {"altered", "alterado"}, "several": {"several of them", "vários"}},
	CheckClock: {"close": {"%s s from our clock", "a %s s do nosso relógio"}, "off": {"%s s from our clock", "a %s s do nosso relógio"},
		"wild": {"%s s from our clock: not used", "a %s s do nosso relógio: não usado"}, "none": {"absent: the time of arrival counts", "ausente: vale a hora de chegada"}},
	CheckDelay: {"sent": {"sent", "enviado"}, "none": {"absent: when a record was delayed is not known", "ausente: não se sabe quanto um registro atrasou"}},
	CheckStop:  {"once": {"Stops come once", "Stops vêm uma vez"}, "again": {"Stops come again as new packets", "Stops voltam como pacotes novos"}},
	CheckBoot:  {"on": {"Accounting-On seen", "Accounting-On visto"}, "off": {"Accounting-Off seen", "Accounting-Off visto"}},
	CheckIPv6:  {"reported": {"records name IPv6 prefixes", "registros trazem prefixos IPv6"}, "none": {"no record names any", "nenhum registro traz"}},
	CheckPorts: {"reported": {"records name blocks of ports", "registros trazem blocos de portas"}, "none": {"no record names any", "nenhum registro traz"}},
	CheckEffect: {"seen": {"the traffic showed the new rate", "o tráfego mostrou a nova velocidade"},
		"missing": {"acknowledged, and the traffic stayed faster than the new rate", "confirmado, e o tráfego seguiu acima da nova velocidade"},
		"idle":    {"acknowledged; too little traffic to tell", "confirmado; tráfego insuficiente para saber"},
		"refused": {"the change was not acknowledged (%s)", "a mudança não foi confirmada (%s)"}},
	CheckReach: {"answers": {"answers at %s", "responde em %s"}, "unset": {"it has no address for commands", "não tem endereço para comandos"},
		"silent":     {"silent at %s: unreachable, or it has another secret for commands (both look the same)", "silêncio em %s: inalcançável, ou outro segredo para comandos (os dois parecem iguais)"},
		"closed":     {"the port %s is closed", "a porta %s está fechada"},
		"other_port": {"answers at port %s instead", "responde na porta %s"},
		"older":      {"answers to the older secret", "responde ao segredo antigo"},
		"unverified": {"answers, signed with another secret", "responde, assinado com outro segredo"},
		"requests_verify": {"its own requests verify with this secret: it is rather the way, the port or the permission of our address",
			"as requisições dele conferem com este segredo: é antes o caminho, a porta ou a permissão do nosso endereço"},
		"requests_none": {"none of its requests has been verified either", "nenhuma requisição dele foi verificada tampouco"}},
	CheckSigns: {"signed": {"replies carry Message-Authenticator", "respostas trazem Message-Authenticator"},
		"unsigned": {"replies carry none; it is not required of them", "respostas sem ele; não é exigido delas"}},
	CheckFrom: {"same": {"from the address asked", "do endereço perguntado"}, "other": {"from %s: such replies are not taken", "de %s: respostas assim não são aceitas"}},
	CheckUnknown: {"not_found": {"refused with 503, Session-Context-Not-Found", "recusado com 503, Session-Context-Not-Found"},
		"acked":   {"acknowledged: its acknowledgements prove nothing", "confirmado: as confirmações dele não provam nada"},
		"refused": {"refused, with %s in place of 503", "recusado, com %s em vez de 503"}},
	CheckNoChange: {"acked": {"acknowledged", "confirmado"}, "refused": {"refused with %s", "recusado com %s"}, "silent": {"not answered", "sem resposta"}},
	CheckIdentify: {Form(ByDialect): {"all that its dialect names", "tudo o que o dialeto traz"}, Form(ByLoginAndID): {"User-Name and Acct-Session-Id", "User-Name e Acct-Session-Id"},
		Form(ByID): {"Acct-Session-Id alone", "só Acct-Session-Id"}, Form(ByLogin): {"User-Name alone", "só User-Name"},
		"none": {"no way tried finds the session", "nenhuma forma tentada acha a sessão"}},
	CheckCoAClass: {"returned": {"comes back in accounting", "volta na contabilização"}, "kept": {"acknowledged, and the one before comes back", "confirmado, e o anterior volta"},
		"alone": {"such devices act on it alone and pass over the rest", "tais equipamentos só tratam dele e ignoram o resto"},
		"acked": {"acknowledged; the session's next records show whether it comes back", "confirmado; os próximos registros da sessão mostram se volta"}, "refused": {"refused with %s", "recusado com %s"}, "silent": {"not answered", "sem resposta"}},
}

// refusals that tell what a way of naming a session led to.
var notedTexts = map[bool]inWords{true: {"yes", "sim"}, false: {"no (%s)", "não (%s)"}}

// CheckText is a check's name for people.
func CheckText(c Check, lang contracts.Language) string { return checkTexts[c].in(lang) }

// ResultText is a result's name for people.
func ResultText(r Result, lang contracts.Language) string { return resultTexts[r].in(lang) }

// ConformanceText is a finding in a sentence, with its evidence.
func ConformanceText(f *Finding, lang contracts.Language) string {
	if f.Result == Unseen {
		return ResultText(Unseen, lang)
	}
	var total int64
	for _, fact := range f.Facts {
		total += fact.N
	}
	parts := make([]string, 0, len(f.Facts))
	for _, fact := range f.Facts {
		text, ok := formTexts[f.Check][fact.Form]
		said := text.in(lang)
		switch {
		case !ok:
			said = string(fact.Form)
		case f.Check == CheckIdentify && fact.Value != "":
			said += ": " + notedTexts[false].in(lang)
			said = fmt.Sprintf(said, fact.Value)
		case f.Check == CheckIdentify && fact.Form != "none":
			said += ": " + notedTexts[true].in(lang)
		case strings.Contains(said, "%s"):
			said = fmt.Sprintf(said, fact.Value)
		}
		if fact.N > 0 && len(f.Facts) > 1 {
			said += fmt.Sprintf(inWords{" (%d of %d)", " (%d de %d)"}.in(lang), fact.N, total)
		} else if fact.N > 0 {
			said += fmt.Sprintf(" (%d)", fact.N)
		}
		parts = append(parts, said)
	}
	return strings.Join(parts, "; ")
}

var valueTexts = map[string]inWords{
	string(ByDialect): {"as the dialect has it", "como o dialeto traz"}, string(ByLoginAndID): {"User-Name and Acct-Session-Id", "User-Name e Acct-Session-Id"},
	string(ByID): {"Acct-Session-Id alone", "só Acct-Session-Id"}, string(ByLogin): {"User-Name alone", "só User-Name"},
	string(CoA): {"CoA", "CoA"}, string(Disconnect): {"Disconnect", "Disconnect"}, "yes": {"yes", "sim"}, "no": {"no", "não"},
	Auto: {"automatic", "automático"}, "": {"not known", "não se sabe"},
}

// ValueText is the value of a strategy's part for people.
func ValueText(value string, lang contracts.Language) string { return valueTexts[value].in(lang) }

// WhyText is why a part of a strategy is so.
func WhyText(p Part, lang contracts.Language) string {
	switch p.Why {
	case WhyFixed:
		return inWords{"fixed by the operator", "fixado pelo operador"}.in(lang)
	case WhyFound:
		return fmt.Sprintf(inWords{"because of: %s", "por causa de: %s"}.in(lang), CheckText(p.Check, lang))
	}
	return inWords{"the dialect's; nothing found speaks against it", "do dialeto; nada encontrado é contra"}.in(lang)
}

// StrategyPart is a line of a strategy, for people.
type StrategyPart struct {
	Field string // of Choice
	Name  string
	Part  Part
}

// Lines are the strategy's parts in their order.
func (s Strategy) Lines(lang contracts.Language) []StrategyPart {
	return []StrategyPart{
		{"identify", inWords{"Sessions are named by", "Sessões são identificadas por"}.in(lang), s.Identify},
		{"rates", inWords{"Other rates by", "Outras velocidades por"}.in(lang), s.Rates},
		{"wall", inWords{"Walled garden by", "Área restrita por"}.in(lang), s.Wall},
		{"class", inWords{"Class in a CoA", "Class em um CoA"}.in(lang), s.Class},
	}
}

var noteTexts = map[string]inWords{
	NoteNoSession: {"No open session of the access server has what it should have: nothing was tried on a session.",
		"Nenhuma sessão aberta do concentrador tem o que deveria ter: nada foi testado em sessão."},
	NoteNotOpen: {"The session asked for is not open, or has not what it should have: nothing was tried on a session.",
		"A sessão pedida não está aberta, ou não tem o que deveria ter: nada foi testado em sessão."},
	NoteNoTrial: {"The login for trials has no open session that has what it should have: no rate was tried.",
		"O login de testes não tem sessão aberta com o que deveria ter: nenhuma velocidade foi testada."},
	NoteUnknown:     {"The access server is not known to the node that took the probe.", "O concentrador não é conhecido do nó que fez o teste."},
	NoteInterrupted: {"The node ended during the probe.", "O nó encerrou durante o teste."},
	NoteUnanswered:  {"The access server does not answer: nothing was tried on a session.", "O concentrador não responde: nada foi testado em sessão."},
	NoteOneTry:      {"A rate is being tried already.", "Uma velocidade já está em teste."},
}

// ProbeNoteText is a probe's note for people; empty for none.
func ProbeNoteText(note string, lang contracts.Language) string {
	if text, ok := noteTexts[note]; ok {
		return text.in(lang)
	}
	return note
}
