package nas

// DeviceLoad is what a node still has to tell a device.
type DeviceLoad struct {
	Device      DeviceID
	Differences int // open sessions that do not have what they should
	GivenUp     int // of these: left until they are heard of again
	Restoring   int // commands waiting that restore service, or that a person ordered: they go first
	Waiting     int // the others
	InFlight    int // sent, and not answered yet
	Paused      bool
}

// Plus adds what is to be done at another device, or by another node.
func (l DeviceLoad) Plus(o DeviceLoad) DeviceLoad {
	l.Differences += o.Differences
	l.GivenUp += o.GivenUp
	l.Restoring += o.Restoring
	l.Waiting += o.Waiting
	l.InFlight += o.InFlight
	return l
}
