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
	"Seen: accounting goes on": "Visto: o accounting continua", "Seen: its traffic": "Visto: o tráfego", "Seen: the new Class came back": "Visto: voltou o novo Class",
	"Seen: the session ended": "Visto: a sessão terminou", "Seen: a new login": "Visto: novo login", "Acknowledged without effect": "ACK sem efeito",
	"By the API: %s": "Pela API: %s", "without effect": "sem efeito", "could not be sent": "não pôde ser enviado",

	"Paused since %s, by %s: only what restores service is told to it.": "Em pausa desde %s, por %s: só recebe o que restabelece serviço.",
	"In the last hour: %s, %s with effect seen":                         "Na última hora: %s, %s com efeito visto",
	"Network": "Rede", "What the access servers are being told, so that every session has what its contract says.": "O que está sendo dito aos concentradores para que cada sessão tenha o que o contrato diz.",
	"Pause all": "Pausar tudo", "Resume all": "Retomar tudo", "Pause": "Pausar", "Resume": "Retomar", "Paused": "Pausado", "paused; about %s more once it goes on": "em pausa; faltam cerca de %s quando retomado",
	"Pause the commands of all access servers? What restores service goes on.": "Pausar os comandos de todos os concentradores? O que restabelece serviço continua.",
	"Resume the commands of all access servers?":                               "Retomar os comandos de todos os concentradores?",
	"Pause the commands of %s? What restores service goes on.":                 "Pausar os comandos de %s? O que restabelece serviço continua.",
	"Resume the commands of %s?":                                               "Retomar os comandos de %s?",
	"Paused. What restores service goes on.":                                   "Em pausa. O que restabelece serviço continua.", "It goes on.": "Retomado.",
	"All access servers are paused since %s, by %s: only what restores service is told to them.": "Todos os concentradores estão em pausa desde %s, por %s: só recebem o que restabelece serviço.",
	"Open sessions": "Sessões abertas", "Not as they should be": "Fora do contrato", "Commands waiting": "Comandos na fila", "Commands in flight": "Comandos em curso",
	"Without effect in the last hour": "ACK sem efeito na última hora",
	"Mass change":                     "Mudança em massa", "since %s": "desde %s", "%s of %s sessions changed": "%s de %s sessões mudadas", "about %s more": "faltam cerca de %s", "a moment": "um instante",
	"%s in flight": "%s em curso", "%s waiting": "%s na fila", "%s failed": "%s com falha", "Progress": "Progresso", "Done": "Feitas", "Failed": "Falhas",
	"In flight": "Em curso", "Waiting": "Na fila", "Still takes": "Ainda leva", "Differ": "Diferem", "Restoring": "Restabelecem", "Others": "Outros",
	"%s left for now": "%s deixadas por ora", "%s with effect seen": "%s com efeito visto", "%s refused": "recusados: %s", "%s without answer": "sem resposta: %s",
	"%s not sent": "não enviados: %s", "%s without effect": "sem efeito: %s", "Mass changes that have ended": "Mudanças em massa encerradas", "Began": "Início", "Took": "Durou",
	"No command is like that.": "Nenhum comando assim.", "Older ones": "Mais antigos", "Every answer": "Qualquer resposta", "Every command": "Qualquer comando",
	"Acknowledged (ACK)": "Aceitos (ACK)", "CoA": "CoA", "API": "API",

	"This changes %s open sessions and takes about %s at the rates of the access servers. Nothing is saved yet.": "Isto muda %s sessões abertas e leva cerca de %s no ritmo dos concentradores. Nada foi salvo ainda.",
	"Takes": "Leva", "at the next login": "no próximo login", "Save and change the sessions": "Salvar e mudar as sessões",
	"Saved. %s open sessions are brought to the new rates: this page shows how far that is.": "Salvo. %s sessões abertas estão passando às novas velocidades: esta página mostra o andamento.",

	"rates changed": "velocidades mudaram", "to be %s, applied service unknown": "deve ter %s; não se sabe o que está aplicado",
	"restored from %s to %s": "restabelecido de %s para %s", "restricted from %s to %s": "restrito de %s para %s",
	"acknowledged without effect: %s": "confirmado sem efeito: %s", "acknowledged without effect (%s)": "confirmado sem efeito (%s)",
	"the end of the session was acknowledged, and it goes on": "o fim da sessão foi confirmado, e ela continua", "the session goes on": "a sessão continua",
	"the Class of the service before came back": "voltou o Class do serviço anterior", "%s down were seen, %s were ordered": "viu-se %s de download, o pedido era %s",
	"%s down and %s up were seen again and again, as before": "viu-se repetidamente %s de download e %s de upload, como antes",
	"%s up were seen, %s were ordered":                       "viu-se %s de upload, o pedido era %s", "coa refused: %s": "CoA recusado: %s", "disconnect refused: %s": "Disconnect recusado: %s",
	"no answer to the coa": "sem resposta ao CoA", "no answer to the disconnect": "sem resposta ao Disconnect", "answered after it was given up": "respondido depois de abandonado",
	"the access server has no address for commands": "o concentrador não tem endereço para comandos", "named as the dialect has it": "sessão indicada como no dialeto",
	"named without NAS-Identifier": "sessão indicada sem NAS-Identifier", "named by Acct-Session-Id alone": "sessão indicada só por Acct-Session-Id",
	"named by all that is known of it": "sessão indicada por tudo o que se sabe dela", "another login of the access: is this session still there?": "outro login do acesso: esta sessão ainda existe?",
	"the subscriber's device is online elsewhere":                  "o equipamento do assinante está online em outro lugar",
	"a later session of the access has begun, and its limit is %s": "começou outra sessão do acesso, cujo limite é %s", "disconnected in the panel": "desconectado no painel", "no session": "nenhuma sessão",

	"Until it is dropped, requests and commands work with either.": "Até ser descartado, requisições e comandos funcionam com qualquer um dos dois.",
	"Drop the older secret": "Descartar o segredo antigo", "The older secret is accepted no longer.": "O segredo antigo não é mais aceito.",
	"Drop the older secret of %s? Packets made with it are no longer answered.":                                                                                                     "Descartar o segredo antigo de %s? Pacotes feitos com ele deixam de ser respondidos.",
	"Two are accepted. What was received last was made with the new one, and commands are signed with it: the older one can be dropped.":                                            "Dois são aceitos. O que foi recebido por último usava o novo, e os comandos são assinados com ele: o antigo pode ser descartado.",
	"Two are accepted. The access server still uses the older one, and commands are signed with that. Give it the new one.":                                                         "Dois são aceitos. O concentrador ainda usa o antigo, e os comandos são assinados com ele. Configure o novo no concentrador.",
	"Two are accepted. Nothing received since the start shows which one the access server uses: commands are signed with the new one, and with the older one when nothing answers.": "Dois são aceitos. Nada recebido desde o início mostra qual o concentrador usa: os comandos são assinados com o novo e, sem resposta, com o antigo.",
}
