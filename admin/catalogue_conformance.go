package admin

import "maps"

// The texts of what access servers were found to do.
func init() {
	maps.Copy(portuguese, portugueseConformance)
	domainTexts = append(domainTexts, "The access server is being probed already")
}

var portugueseConformance = map[string]string{
	"Conformance": "Conformidade", "Checked": "Verificado", "Result": "Resultado", "Evidence": "Evidência", "Acknowledge": "Tomar ciência", "Ask it now": "Perguntar agora",
	"How it is commanded": "Como é comandado", "Now: %s (%s)": "Agora: %s (%s)",
	"What its traffic shows and what it answered when it was asked. “Noted” is not as the standards have it, or not there, and Enlace works around it.": "O que o tráfego mostra e o que ele respondeu quando perguntado. “Anotado” é o que foge das normas, ou falta, e que o Enlace contorna.",
	"Asking names a session that does not exist, and tells one open session what it has already. It changes nothing for any subscriber.":                "Perguntar cita uma sessão que não existe e diz a uma sessão aberta o que ela já tem. Não muda nada para nenhum assinante.",
	"The access server is being asked.":                "O concentrador está sendo perguntado.",
	"How it is commanded is recorded.":                 "Como ele é comandado foi registrado.",
	"The regression is acknowledged.":                  "A regressão está ciente.",
	"It was good until %s and has been so since %s.":   "Estava bom até %s e está assim desde %s.",
	"Then it was %s, now it is %s.":                    "Então era %s, agora é %s.",
	"It is %s, as it was then.":                        "É %s, como era então.",
	"Asked for; a node takes it within seconds.":       "Pedido; um nó o faz em segundos.",
	"It is being asked; silence takes up to a minute.": "Está sendo perguntado; silêncio leva até um minuto.",
	"Last asked on %s.":                                "Perguntado pela última vez em %s.",
	"The access server is being probed already":        "O concentrador já está sendo perguntado",
}
