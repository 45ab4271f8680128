package nas

// vyosDialect speaks to VyOS, whose access server is accel-ppp. A commit of its configuration restarts that, so that
// every session dials again.
func vyosDialect(g Garden, o Options) (*Dialect, error) {
	d, err := accelDialect(g, o)
	if err != nil {
		return nil, err
	}
	d.Name, d.Title = "vyos", "VyOS"
	return d, nil
}
