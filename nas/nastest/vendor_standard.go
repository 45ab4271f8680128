package nastest

const numberWISPr = 14122

// standardVendor is an access server by the RFCs, with the rates of WISPr in bit/s.
var standardVendor = &vendor{
	name: "standard",
	read: func(n *NAS, a *applied, attr avp) (bool, error) {
		switch {
		case attr.is(numberWISPr, 4):
			a.redirect = attr.text()
		case attr.is(numberWISPr, 7):
			a.rates.UpBps = attr.number()
		case attr.is(numberWISPr, 8):
			a.rates.DownBps = attr.number()
		default:
			return a.readNames(attr), nil
		}
		return true, nil
	},
}
