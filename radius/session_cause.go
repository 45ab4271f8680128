package radius

import "strconv"

var causeNames = [...]string{
	1: "User-Request", 2: "Lost-Carrier", 3: "Lost-Service", 4: "Idle-Timeout", 5: "Session-Timeout", 6: "Admin-Reset",
	7: "Admin-Reboot", 8: "Port-Error", 9: "NAS-Error", 10: "NAS-Request", 11: "NAS-Reboot", 12: "Port-Unneeded",
	13: "Port-Preempted", 14: "Port-Suspended", 15: "Service-Unavailable", 16: "Callback", 17: "User-Error",
	18: "Host-Request", 19: "Supplicant-Restart", 20: "Reauthentication-Failure", 21: "Port-Reinit", 22: "Port-Disabled",
	23: "Lost-Power",
}

// CauseName is the name of an Acct-Terminate-Cause (RFC 2866, section 5.10; RFC 3580; the IANA registry), such as "Lost-Carrier"; the number where it has none, "" for 0, which is none.
func CauseName(cause uint32) string {
	switch {
	case cause == 0:
		return ""
	case int64(cause) < int64(len(causeNames)):
		return causeNames[cause]
	}
	return strconv.FormatUint(uint64(cause), 10)
}
