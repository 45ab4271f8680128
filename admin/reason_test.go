package admin

import (
	"testing"

	"enlace/contracts"
)

func TestReasonsOfCommands(t *testing.T) {
	en, pt := &page{lang: contracts.English}, &page{lang: contracts.Portuguese}
	for text, want := range map[string][2]string{
		"restricted from FULL to REDUCED; acknowledged without effect: 480M down were seen, 50M were ordered": {
			"restricted from full speed to reduced speed; acknowledged without effect: 480M down were seen, 50M were ordered",
			"restrito de velocidade plena para velocidade reduzida; confirmado sem efeito: viu-se 480M de download, o pedido era 50M"},
		"restored from WALLED to FULL; acknowledged without effect (1M down and 40k up were seen again and again, as before)": {
			"restored from walled garden to full speed; acknowledged without effect (1M down and 40k up were seen again and again, as before)",
			"restabelecido de área restrita para velocidade plena; confirmado sem efeito (viu-se repetidamente 1M de download e 40k de upload, como antes)"},
		"rates changed": {"rates changed", "velocidades mudaram"},
		"restored from WALLED to FULL; coa refused: Unsupported-Attribute": {
			"restored from walled garden to full speed; coa refused: Unsupported-Attribute",
			"restabelecido de área restrita para velocidade plena; CoA recusado: Unsupported-Attribute"},
		"cliente pediu; de novo": {"cliente pediu; de novo", "cliente pediu; de novo"},
		"":                       {"", ""},
	} {
		if got := [2]string{en.reason(text), pt.reason(text)}; got != want {
			t.Errorf("%q reads %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string][2]string{
		"REDUCED 50M/25M": {"Reduced speed 50M/25M", "Velocidade reduzida 50M/25M"}, "REJECT": {"Refused", "Recusado"}, "no session": {"no session", "nenhuma sessão"}, "OTHER x": {"OTHER x", "OTHER x"},
	} {
		if got := [2]string{en.wanted(text), pt.wanted(text)}; got != want {
			t.Errorf("%q reads %q, want %q", text, got, want)
		}
	}
}
