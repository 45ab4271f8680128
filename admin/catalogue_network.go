package admin

import "maps"

// The texts of access servers, of the commands they get and of the network.
func init() {
	maps.Copy(portuguese, portugueseNetwork)
	domainTexts = append(domainTexts, networkTexts...)
}

var networkTexts = []string{
	"an API has an address and a port",
	"a user of the API has 1 to 100 printable bytes",
	"a password of the API has at most 200 bytes",
	"a latitude is -90 to 90 degrees, a longitude -180 to 180",
	"coordinates are a latitude and a longitude in degrees, such as -27.0965, -52.6180",
}

var portugueseNetwork = map[string]string{
	"an API has an address and a port":                                                  "a API tem endereço e porta",
	"a user of the API has 1 to 100 printable bytes":                                    "o usuário da API tem de 1 a 100 bytes imprimíveis",
	"a password of the API has at most 200 bytes":                                       "a senha da API tem no máximo 200 bytes",
	"a latitude is -90 to 90 degrees, a longitude -180 to 180":                          "a latitude vai de -90 a 90 graus, a longitude de -180 a 180",
	"coordinates are a latitude and a longitude in degrees, such as -27.0965, -52.6180": "coordenadas são latitude e longitude em graus, como -27.0965, -52.6180",

	"Identification": "Identificação", "Short name, for lists": "Nome curto, para listas", "Short name": "Nome curto", "Model": "Modelo",
	"NAS-Identifier, where several share an address": "NAS-Identifier, quando vários usam o mesmo endereço",
	"Site": "Local", "Point of presence (POP)": "Ponto de presença (POP)", "Time zone (empty: %s)": "Fuso horário (vazio: %s)",
	"Coordinates: latitude, longitude": "Coordenadas: latitude, longitude", "Coordinates": "Coordenadas", "Open on a map": "Abrir no mapa",
	"Local time": "Hora local", "Times of %s, where it stands": "Horários de %s, onde ele está",
	"API of the access server": "API do concentrador", "API address and port": "Endereço e porta da API", "API user": "Usuário da API",
	"API password": "Senha da API", "API password (empty: keep)": "Senha da API (vazio: manter)",
	"API certificate: SHA-256 fingerprint, or plain: without TLS": "Certificado da API: impressão digital SHA-256, ou plain: sem TLS",
	"API certificate": "Certificado da API", "none: without TLS": "nenhum: sem TLS",
	"Where RADIUS does not reach: the RouterOS API ends and changes sessions as the last resort, and tells version and uptime.": "Para onde o RADIUS não alcança: a API do RouterOS encerra e altera sessões em último caso, e informa versão e tempo ligado.",

	"Name, model, POP or address": "Nome, modelo, POP ou endereço", "Every POP": "Todos os POPs", "Every dialect": "Todos os dialetos",
	"No access server is like that.": "Nenhum concentrador assim.",

	"Sessions": "Sessões", "Commands": "Comandos", "Command": "Comando", "Interim interval": "Intervalo de interim", "%s seconds": "%s segundos",
	"At most": "No máximo", "%s a second": "%s por segundo", "none: it cannot be told": "nenhum: não há como enviar comandos a ele",
	"Commands in the last hour": "Comandos na última hora", "Effect seen": "Efeito visto", "Refused (NAK)": "Recusados (NAK)", "Without answer": "Sem resposta",
	"Last commands": "Últimos comandos", "What became of it": "O que aconteceu", "answered in %s": "respondido em %s", "seen %s later": "visto %s depois",
	"Acknowledged, effect not seen yet": "Confirmado (ACK), efeito ainda não visto", "Refused: %s": "Recusado: %s",
	"No answer after %s datagrams": "Sem resposta a %s datagramas", "Could not be sent": "Não pôde ser enviado",
	"Waiting to be sent": "Aguarda envio", "Waiting for the answer": "Aguarda resposta",
	"Confirmed": "Efeito visto", "Confirmed by accounting": "Efeito visto no accounting", "Confirmed by the Stop": "Efeito visto: veio o Stop",
	"Confirmed by a new login": "Efeito visto: novo login",

	"Until it is dropped, requests and commands work with either.": "Até ser descartado, requisições e comandos funcionam com qualquer um dos dois.",
	"Drop the older secret": "Descartar o segredo antigo", "The older secret is accepted no longer.": "O segredo antigo não é mais aceito.",
	"Drop the older secret of %s? Packets made with it are no longer answered.":                                                                                                     "Descartar o segredo antigo de %s? Pacotes feitos com ele deixam de ser respondidos.",
	"Two are accepted. What was received last was made with the new one, and commands are signed with it: the older one can be dropped.":                                            "Dois são aceitos. O que foi recebido por último usava o novo, e os comandos são assinados com ele: o antigo pode ser descartado.",
	"Two are accepted. The access server still uses the older one, and commands are signed with that. Give it the new one.":                                                         "Dois são aceitos. O concentrador ainda usa o antigo, e os comandos são assinados com ele. Configure o novo no concentrador.",
	"Two are accepted. Nothing received since the start shows which one the access server uses: commands are signed with the new one, and with the older one when nothing answers.": "Dois são aceitos. Nada recebido desde o início mostra qual o concentrador usa: os comandos são assinados com o novo e, sem resposta, com o antigo.",
}
