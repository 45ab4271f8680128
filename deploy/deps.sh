#!/bin/sh
# Installs the programs that running and testing need, when they are missing. Says what and why first.
# With everything there it does nothing and takes no time. `deps.sh run` leaves out what only tests need; `deps.sh interop`
# adds what a virtual machine with real access servers needs.
set -eu

# One line a part: the function that finds it, what needs it (run, test or interop), its Debian package, and why it is needed.
parts='
postgresql  run   postgresql               the database server: it keeps everything, privately under ./var, and tests run on it
radclient   run   freeradius-utils         an independent RADIUS client: tests log in with it, and so can you
pyrad       test  python3-pyrad            another RADIUS client, in Python
pppd        test  ppp                      the radius plugin of pppd: tests log in with it
compiler    test  tcc                      a small C compiler: it makes the program that loads that plugin
headers     test  libc6-dev                the headers of the C library, for that compiler
vpn         test  charon-systemd           strongSwan: tests log in through its VPN gateway
vpnradius   test  libcharon-extra-plugins  the part of it that speaks RADIUS
vpnlogin    test  libcharon-extauth-plugins  the part of it that a subscriber logs in with
browser     test  chromium-headless-shell  a browser without a window: tests look at the panel with it
tlsproxy    test  radsecproxy              a RADIUS proxy that speaks TLS: tests log in through it
alertrules  test  prometheus               promtool checks the alert rules; it alone is taken out of the package
machine     interop  qemu-system-x86       a virtual machine, for access servers that need a kernel of their own
busybox     interop  busybox-static        the first program in that machine
modules     interop  kmod                  finds the modules of its kernel
accesspoint interop  hostapd               an access point, on wireless interfaces in memory
station     interop  wpasupplicant         the station at that access point
wireless    interop  iw                    asks the interface of the station
dialin      interop  pppoe                 the PPPoE server beside pppd
firewall    interop  nftables              the walled garden of that server
'
needs=${1:-test}
case "$needs" in run | test | interop) ;; *) echo "usage: deps.sh [run|test|interop]" >&2; exit 2 ;; esac

# needless says that the part just read is for something else.
needless() {
	case "$needs $need" in "run test" | "run interop" | "test interop") return 0 ;; esac
	return 1
}

postgresql() {
	for program in /usr/lib/postgresql/*/bin/postgres /usr/pgsql-*/bin/postgres; do
		[ -x "$program" ] && [ -x "${program%postgres}initdb" ] && return 0
	done
	command -v postgres >/dev/null && command -v initdb >/dev/null
}

radclient() {
	for folder in /usr/bin /usr/local/bin /usr/sbin; do
		[ -x "$folder/radclient" ] && return 0
	done
	return 1
}

pyrad() { [ -d /usr/lib/python3/dist-packages/pyrad ]; }

pppd() { set -- /usr/lib/pppd/*/radius.so && [ -e "$1" ]; }

compiler() { command -v tcc >/dev/null; }

headers() { [ -e /usr/include/stdio.h ]; }

vpn() { [ -x /usr/sbin/charon-systemd ] && [ -x /usr/sbin/swanctl ]; }

vpnradius() { [ -e /usr/lib/ipsec/plugins/libstrongswan-eap-radius.so ]; }

vpnlogin() { [ -e /usr/lib/ipsec/plugins/libstrongswan-xauth-generic.so ]; }

machine() { command -v qemu-system-x86_64 >/dev/null; }

busybox() { [ -x /bin/busybox ] || [ -x /usr/bin/busybox ]; }

modules() { [ -x /sbin/depmod ] && [ -x /sbin/modprobe ]; }

accesspoint() { [ -x /usr/sbin/hostapd ]; }

station() { [ -x /sbin/wpa_supplicant ] || [ -x /usr/sbin/wpa_supplicant ]; }

wireless() { [ -x /sbin/iw ] || [ -x /usr/sbin/iw ]; }

dialin() { [ -x /usr/sbin/pppoe-server ]; }

firewall() { [ -x /usr/sbin/nft ]; }

browser() {
	for program in chromium-headless-shell chromium google-chrome chrome; do
		command -v "$program" >/dev/null && return 0
	done
	return 1
}

alertrules() { command -v promtool >/dev/null; }

tlsproxy() { [ -x /usr/sbin/radsecproxy ] || [ -x /usr/bin/radsecproxy ]; }

missing='' taken='' reasons=''
while read -r part need package why; do
	needless && continue
	if [ -n "$part" ] && ! "$part"; then
		case "$package" in
		prometheus) taken=$package ;; # installing it would bring a server that starts, and a dozen packages more
		*) missing="$missing $package" ;;
		esac
		reasons="$reasons  $package: $why
"
	fi
done <<END
$parts
END
[ -n "$missing$taken" ] || exit 0

printf 'These Debian packages are missing:\n%s' "$reasons"
if ! command -v apt-get >/dev/null; then
	echo "This machine has no apt-get: install what they hold by your own means, then come back." >&2
	exit 1
fi
as_root=''
if [ "$(id -u)" != 0 ]; then
	if ! command -v sudo >/dev/null; then
		echo "Installing needs root and there is no sudo here. As root, run: deploy/deps.sh${1:+ $1}" >&2
		exit 1
	fi
	as_root=sudo
fi
[ -z "$missing" ] || echo "Installing them with ${as_root:+$as_root }apt-get install --no-install-recommends$missing"
[ -z "$taken" ] || echo "Taking promtool out of the package $taken, to /usr/local/bin"

# Debian's package would make and start a database server of its own on this machine. Told not to, for this one
# installation; clusters that the machine's owner has are not touched.
conf=/etc/postgresql-common/createcluster.d
quiet="$conf/enlace-deps.conf"
log=$(mktemp) unpacked=$(mktemp -d) told=''
undo() {
	rm -rf "$log" "$unpacked"
	[ -z "$told" ] || $as_root rm -f "$quiet"
	[ -z "$told" ] || $as_root rmdir "$conf" 2>/dev/null || true
}
trap undo EXIT
trap 'exit 130' INT TERM
case "$missing" in *postgresql*)
	told=yes
	$as_root mkdir -p "$conf"
	echo 'create_main_cluster = false' | $as_root tee "$quiet" >/dev/null
	;;
esac

tell() {
	cat "$log" >&2
	echo "Installing failed; what apt-get said is above." >&2
	exit 1
}
$as_root apt-get update -qq >"$log" 2>&1 || echo "apt-get update had trouble; going on with the package lists at hand."
# shellcheck disable=SC2086
[ -z "$missing" ] || $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing </dev/null >"$log" 2>&1 || tell
if [ -n "$taken" ]; then
	(cd "$unpacked" && apt-get download "$taken" && dpkg-deb -x "$taken"_*.deb .) >"$log" 2>&1 || tell
	$as_root install -D -m 755 "$unpacked/usr/bin/promtool" /usr/local/bin/promtool || tell
fi

# The packages start these as services; tests run them themselves, and their ports are the machine's owner's to give.
case "$missing" in *radsecproxy*) $as_root systemctl disable --now radsecproxy >/dev/null 2>&1 || true ;; esac
case "$missing" in *charon-systemd*) $as_root systemctl disable --now strongswan >/dev/null 2>&1 || true ;; esac
case "$missing" in *hostapd*) $as_root systemctl disable --now hostapd >/dev/null 2>&1 || true ;; esac
case "$missing" in *wpasupplicant*) $as_root systemctl disable --now wpa_supplicant >/dev/null 2>&1 || true ;; esac
case "$missing" in *nftables*) $as_root systemctl disable --now nftables >/dev/null 2>&1 || true ;; esac

while read -r part need package why; do
	needless && continue
	if [ -n "$part" ] && ! "$part"; then
		echo "$package is installed, but $part is still not found." >&2
		exit 1
	fi
done <<END
$parts
END
echo "Installed:$missing${taken:+ promtool}"
