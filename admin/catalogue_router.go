package admin

import "maps"

// The texts of what access servers say of themselves.
func init() { maps.Copy(portuguese, portugueseRouter) }

// secretPlaceholder stands for the shared secret in commands to paste.
const secretPlaceholder = "PASTE-THE-SECRET"

var portugueseRouter = map[string]string{
	"Ask the router": "Perguntar ao roteador", "What the router says": "O que o roteador diz",
	"Asked by its API just now. Nothing is changed there.": "Perguntado agora pela API. Nada é alterado nele.",
	"Address by which it reaches this server":              "Endereço pelo qual ele alcança este servidor",
	"What walled subscribers reach beside the portal":      "O que assinantes no jardim murado alcançam além do portal",
	"It could not be asked: %s":                            "Não foi possível perguntar: %s",
	"Check":                                                "Verificar",
	"Identity":                                             "Identidade", "Version": "Versão", "Board": "Placa", "Serial number": "Número de série", "Running for": "Ligado há", "PPP sessions": "Sessões PPP",
	"Configuration": "Configuração", "What was found": "O que se encontrou", "To paste into its console": "Para colar no console dele",
	"Read before pasting. Where %s stands, put the shared secret.": "Leia antes de colar. No lugar de %s, ponha o segredo compartilhado.",
	"In order": "Em ordem", "Advice": "Conselho", "Wrong": "Errado",

	"could not be looked at: %s; the API's user needs the policies read, api and sensitive": "não pôde ser visto: %s; o usuário da API precisa das políticas read, api e sensitive",
	"PPP logins are not asked of %s":                                                        "os logins PPP não são perguntados a %s",
	"PPP logins are asked of %s":                                                            "os logins PPP são perguntados a %s",
	"%s is asked first; %s only when that is silent":                                        "%s é perguntado primeiro; %s só quando aquele se cala",
	"%s is %s, where the server listens on %d":                                              "%s é %s, mas o servidor escuta em %d",
	"the shared secret is not the one of the device here":                                   "o segredo compartilhado não é o do concentrador aqui",
	"timeout is %s: what takes longer counts as silence":                                    "o timeout é %s: o que demora mais conta como silêncio",
	"the server is a backup for accounting only":                                            "o servidor é só reserva para accounting",
	"this RouterOS does not check Message-Authenticator (CVE-2024-3596): 7.15 and later do": "este RouterOS não confere o Message-Authenticator (CVE-2024-3596): da 7.15 em diante, sim",
	"answers without Message-Authenticator are taken: they can be forged (CVE-2024-3596)":   "respostas sem Message-Authenticator são aceitas: podem ser forjadas (CVE-2024-3596)",
	"the device has no CoA address here, so nothing can be changed while a session lasts":   "o concentrador não tem endereço de CoA aqui: nada muda enquanto dura uma sessão",
	"commands to port %s are not taken (accept is %s, port is %s)":                          "comandos para a porta %s não são aceitos (accept é %s, port é %s)",
	"commands are taken on port %s":                                                         "comandos são aceitos na porta %s",
	"PPP does not use RADIUS":                                                               "o PPP não usa RADIUS",
	"sessions are not accounted for":                                                        "as sessões não têm accounting",
	"interim-update is 0: a session that is not told an interval reports nothing until it ends; each Access-Accept says %s":                                 "interim-update é 0: uma sessão sem intervalo informado nada relata até o fim; cada Access-Accept informa %s",
	"IPv6 traffic and prefixes are not reported, which records of connections need":                                                                         "tráfego e prefixos IPv6 não são relatados, e os registros de conexão precisam deles",
	"sessions are asked for and accounted for by RADIUS":                                                                                                    "as sessões são autorizadas e contabilizadas por RADIUS",
	"queue %q for %s comes before those of sessions: whom it fits has its rates, not the plan's":                                                            "a fila %q de %s vem antes das filas das sessões: quem cai nela tem as taxas dela, não as do plano",
	"no queue comes before those of the sessions":                                                                                                           "nenhuma fila vem antes das filas das sessões",
	"profile %q gives IPv6 of its own to sessions that are told none: a walled subscriber has the Internet by IPv6; lend prefixes from a pool here instead": "o perfil %q dá IPv6 próprio a sessões que não receberam nenhum: um assinante no jardim murado tem a Internet por IPv6; empreste prefixos de um pool daqui",
	"no profile gives IPv6 of its own":                                                                                                                      "nenhum perfil dá IPv6 próprio",
	"the API without TLS is open too: passwords can be read on the way":                                                                                     "a API sem TLS também está aberta: senhas podem ser lidas no caminho",
	"this API goes without TLS: its password can be read on the way":                                                                                        "esta API vai sem TLS: a senha dela pode ser lida no caminho",
	"the API answers everybody":                                                                                      "a API responde a qualquer um",
	"the API has TLS and answers known addresses":                                                                    "a API tem TLS e responde a endereços conhecidos",
	"the clock follows no server: records and commands go by its time":                                               "o relógio não segue servidor algum: registros e comandos dependem da hora dele",
	"the clock follows a server":                                                                                     "o relógio segue um servidor",
	"the firewall lets those in %q pass: a walled subscriber has the Internet":                                       "o firewall deixa passar os da lista %q: um assinante no jardim murado tem a Internet",
	"the firewall stops those in %q":                                                                                 "o firewall barra os da lista %q",
	"connections are fasttracked: they pass neither queues nor the walled garden":                                    "conexões passam por fasttrack: não passam nem por filas nem pelo jardim murado",
	"the firewall stops their DNS but for the router's own: those who ask another find no page, not even the portal": "o firewall barra o DNS deles, menos o do próprio roteador: quem pergunta a outro não acha página alguma, nem o portal",
	"the firewall stops their DNS: no page is found, not even the portal":                                            "o firewall barra o DNS deles: nenhuma página é achada, nem o portal",
	"connections that were open go on: the rule that lets them pass comes first":                                     "conexões que estavam abertas continuam: a regra que as deixa passar vem antes",
	"a rule before the wall lets everybody pass: a walled subscriber has the Internet":                               "uma regra antes do muro deixa todos passarem: um assinante no jardim murado tem a Internet",
	"the firewall stops them on their way to the portal too":                                                         "o firewall os barra também no caminho do portal",
	"%s cannot be reached: not in the address list %q":                                                               "%s não pode ser alcançado: não está na lista de endereços %q",
	"%s can be reached": "%s pode ser alcançado",
	"pages without TLS are redirected to the portal":                                             "páginas sem TLS são redirecionadas ao portal",
	"pages without TLS are not redirected to the portal: browsers do not offer it by themselves": "páginas sem TLS não são redirecionadas ao portal: os navegadores não o oferecem sozinhos",
}
