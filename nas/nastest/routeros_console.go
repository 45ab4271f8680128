package nastest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Paste obeys a line as the console does, as far as these need: a menu in words, add or set, an item where the menu has
// several, and properties, which may be quoted.
func (r *RouterOS) Paste(line string) error {
	words := strings.Fields(line) // no value pasted here has a space
	verb := slices.IndexFunc(words, func(w string) bool { return w == "add" || w == "set" || w == "disable" })
	if verb < 1 {
		return fmt.Errorf("no verb in %q", line)
	}
	menu := strings.Join(words[:verb], "/")
	given := Item{}
	id := ""
	for _, w := range words[verb+1:] {
		name, value, ok := strings.Cut(w, "=")
		switch {
		case !ok && strings.HasPrefix(w, "!"):
			given[w[1:]] = ""
		case !ok:
			id = w
		default:
			given[name] = strings.NewReplacer(`\?`, "?", `\$`, "$", `"`, "").Replace(value)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if words[verb] == "add" {
		before := given["place-before"]
		delete(given, "place-before")
		given["dynamic"], given["disabled"] = "false", "false"
		r.serial++
		given[".id"] = fmt.Sprintf("*%X", r.serial)
		at := len(r.menus[menu])
		if before != "" && before != "0" {
			if at = slices.IndexFunc(r.menus[menu], func(i Item) bool { return i[".id"] == before }); at < 0 {
				return fmt.Errorf("no item %s", before)
			}
		}
		r.menus[menu] = slices.Insert(r.menus[menu], at, given)
		return nil
	}
	if words[verb] == "disable" {
		given = Item{"disabled": "true"}
	}
	at := 0
	if id != "" {
		at = slices.IndexFunc(r.menus[menu], func(i Item) bool { return i[".id"] == id || i["name"] == id })
	}
	if at < 0 || at >= len(r.menus[menu]) {
		return fmt.Errorf("no item %q of %s", id, menu)
	}
	maps.Copy(r.menus[menu][at], given)
	return nil
}
