#!/bin/sh
# Installs the programs that running and testing need, when they are missing. Says what and why first.
# With everything there it does nothing and takes no time. `deps.sh run` leaves out what only tests need.
set -eu

# One line a part: the function that finds it, what needs it (run or test), its Debian packages, and why it is needed.
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
'
needs=${1:-all}

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
	[ "$needs" = run ] && [ "$need" = test ] && continue
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

while read -r part need package why; do
	[ "$needs" = run ] && [ "$need" = test ] && continue
	if [ -n "$part" ] && ! "$part"; then
		echo "$package is installed, but $part is still not found." >&2
		exit 1
	fi
done <<END
$parts
END
echo "Installed:$missing${taken:+ promtool}"
