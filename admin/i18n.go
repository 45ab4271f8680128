package admin

import (
	"fmt"
	"net/http"
	"strings"

	"enlace/contracts"
)

// languages that the panel speaks, with the names they call themselves by.
var languages = []struct {
	Code contracts.Language
	Name string
}{{contracts.English, "English"}, {contracts.Portuguese, "Português"}}

const languageCookie = "enlace_lang"

// languageOf is the reader's choice if one was stored, else what the browser asks for, else English.
func languageOf(r *http.Request) contracts.Language {
	if c, err := r.Cookie(languageCookie); err == nil {
		for _, l := range languages {
			if c.Value == string(l.Code) {
				return l.Code
			}
		}
	}
	for _, want := range strings.Split(r.Header.Get("Accept-Language"), ",") {
		tag, _, _ := strings.Cut(strings.TrimSpace(want), ";")
		primary, _, _ := strings.Cut(strings.ToLower(tag), "-")
		for _, l := range languages {
			if primary == string(l.Code) {
				return l.Code
			}
		}
	}
	return contracts.English
}

// translate gives the text for an English key; keys are fmt formats when arguments follow. A text without translation
// is shown in English.
func translate(lang contracts.Language, key string, args ...any) string {
	if lang == contracts.Portuguese {
		if pt, ok := portuguese[key]; ok {
			key = pt
		}
	}
	if len(args) == 0 {
		return key
	}
	return fmt.Sprintf(key, args...)
}
