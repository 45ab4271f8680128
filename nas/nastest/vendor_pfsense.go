package nastest

const numberPfSense = 13644

// pfSenseVendor is the captive portal: rates in bit/s, and no ear for commands. What it has changes at the next login.
var pfSenseVendor = &vendor{
	name: "pfsense",
	read: func(n *NAS, a *applied, attr avp) (bool, error) {
		switch {
		case attr.is(numberPfSense, 1):
			a.rates.UpBps = attr.number()
		case attr.is(numberPfSense, 2):
			a.rates.DownBps = attr.number()
		case attr.is(numberWISPr, 4):
			a.redirect = attr.text()
		default:
			return a.readNames(attr), nil
		}
		return true, nil
	},
	// Everybody goes through the portal; the wall is the rate.
	walled: func(n *NAS, a *applied) bool { return a.rates == n.cfg.Garden.Profile },
	deaf:   true,
}
