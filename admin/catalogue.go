package admin

var portuguese = map[string]string{}
