package admin

import (
	"strings"

	"enlace/contracts"
)

// section of the panel, as its navigation lists it.
type section struct{ path, label, icon string }

var navigation = []section{
	{"/", "Overview", "home"},
	{"/customers", "Customers", "people"},
	{"/invoices", "Invoices", "money"},
	{"/sessions", "Online sessions", "pulse"},
	{"/connections", "Connection records", "records"},
	{"/upcoming", "Upcoming changes", "calendar"},
	{"/network", "Network", "network"},
	{"/devices", "Access servers", "server"},
	{"/plans", "Plans", "gauge"},
}

// holds reports whether a path belongs to the section.
func (n section) holds(path string) bool {
	if n.path == "/" {
		return path == "/"
	}
	return path == n.path || strings.HasPrefix(path, n.path+"/") || n.path == "/customers" && strings.HasPrefix(path, "/contracts/")
}

func current(here bool) string {
	if here {
		return "page"
	}
	return "false"
}

func htmlLang(p *page) string {
	if p.lang == contracts.Portuguese {
		return "pt-BR"
	}
	return "en"
}

// icons are paths for a pen of 1.5 in a square of 20.
var icons = map[string]string{
	"home":     "M3 9.500 10 3.500l7 6M5 8.500V16.500h10V8.500M8.500 16.500v-4.500h3v4.500",
	"people":   "M7.500 9.500a3 3 0 1 0 0-6 3 3 0 0 0 0 6M2 16.500c0-3 2.500-4.500 5.500-4.500s5.500 1.500 5.500 4.500M13 4a2.700 2.700 0 0 1 0 5.200M15 12.300c2 .5 3 2 3 4.200",
	"money":    "M4.500 2.500h11v15l-2.200-1.500-1.800 1.500-1.500-1.500-1.500 1.500L6.700 16l-2.200 1.500zM7.500 6.500h5M7.500 9.500h5M7.500 12.500h3",
	"pulse":    "M2 10.500h3.500l2-6 4 11 2.500-7 1 2h3",
	"calendar": "M3.500 5h13v11.500h-13zM3.500 8.500h13M7 3v3.500M13 3v3.500M10 11v3M8.500 12.500h3",
	"records":  "M4.500 3h8l3 3v11h-11zM7 8.500h6M7 11.500h6M7 14.500h3",
	"server":   "M3.500 4h13v5h-13zM3.500 11h13v5h-13zM6 6.500h.01M6 13.500h.01M9 6.500h5M9 13.500h5",
	"network":  "M7.500 3h5v4h-5zM2.500 13h5v4h-5zM12.500 13h5v4h-5zM10 7v3M5 13v-3h10v3",
	"gauge":    "M3.500 14.500a7 7 0 1 1 13 0M10 12.500l3-4.500M10 12.500h.01",
	"search":   "M9 14.500a5.500 5.500 0 1 0 0-11 5.500 5.500 0 0 0 0 11M13 13l4 4",
	"out":      "M8 3.500H4.500v13H8M12.500 6.500 16 10l-3.500 3.500M7.500 10H16",
	"alert":    "M10 3.500 17.500 16.500h-15zM10 8.500v3.500M10 14.300h.01",
	"check":    "M4 10.500l4 4 8-9",
	"auto":     "M10 3.500a6.500 6.500 0 1 0 0 13zM10 3.500a6.500 6.500 0 0 1 0 13",
	"sun":      "M10 13a3 3 0 1 0 0-6 3 3 0 0 0 0 6M10 2.500v1.500M10 16v1.500M2.500 10H4M16 10h1.500M4.700 4.700l1 1M14.300 14.300l1 1M4.700 15.300l1-1M14.300 5.700l1-1",
	"moon":     "M16 11.500A6.500 6.500 0 0 1 8.500 4a6.500 6.500 0 1 0 7.500 7.500z",
	"clock":    "M10 16.500a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13M10 6.500V10l2.500 2",
	"pause":    "M7 4.500v11M13 4.500v11",
	"play":     "M6 4l9.500 6L6 16z",
	"plus":     "M10 4v12M4 10h12",
	"edit":     "M4 16l.8-3.500 8.700-8.700 2.700 2.700L7.500 15.200zM11.500 5.800l2.700 2.700",
	"key":      "M7 13a3 3 0 1 0 0-6 3 3 0 0 0 0 6M10 10h7M14 10v3M17 10v2",
	"unlock":   "M4.500 9h11v7.500h-11zM7 9V6.500a3 3 0 0 1 5.700-1.200M10 12v2",
	"lock":     "M4.500 9h11v7.500h-11zM7 9V6.500a3 3 0 0 1 6 0V9M10 12v2",
	"power":    "M10 3v6M6 5.500a6 6 0 1 0 8 0",
	"down":     "M5.500 8l4.500 4.500L14.500 8",
	"back":     "M12 4.500 6.500 10l5.500 5.500",
	"arrow":    "M4 10h12M11.500 5.500 16 10l-4.500 4.500",
}
