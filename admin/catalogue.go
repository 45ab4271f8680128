package admin

var portuguese = map[string]string{}

var domainTexts = []string{}
