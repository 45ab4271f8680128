package nastest

const numberUbiquiti = 41112

// ubiquitiVendor reads rates of 64 bits in bit/s.
var ubiquitiVendor = &vendor{
	name: "ubiquiti",
	read: func(n *NAS, a *applied, attr avp) (bool, error) {
		switch {
		case attr.is(numberUbiquiti, 1) && len(attr.value) == 8:
			a.rates.DownBps = attr.number()
		case attr.is(numberUbiquiti, 3) && len(attr.value) == 8:
			a.rates.UpBps = attr.number()
		default:
			return a.readNames(attr), nil
		}
		return true, nil
	},
}
