/*
 * Runs pppd's radius plugin without pppd, which needs PPP in the kernel: this program offers the plugin what it uses of
 * pppd 2.4.9 (the types and names are those of <pppd/pppd.h>), and calls its hooks as pppd would.
 *
 *	host PLUGIN CONFIG pap USER PASSWORD
 *	host PLUGIN CONFIG chap USER DIGEST ID CHALLENGE RESPONSE	(DIGEST 5, 128 or 129; the last two in hexadecimal)
 *
 * An accepted login goes on with the start of a session, one interim record and its end. What the plugin learned is
 * printed, a line each. With RADATTR in the environment, that plugin is loaded too, and the file that it writes for the
 * interface is RADATTR_FILE.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

typedef void (*notify_func)(void *, int);
struct notifier { struct notifier *next; notify_func func; void *arg; };
typedef struct {
	char *name; int type; void *addr; char *description; unsigned flags; void *addr2;
	int upper, lower; const char *source; short priority, winner;
} option_t;
struct chap_digest_type { int code; void *unused[8]; };

/* What the plugin reads and writes. Structures that only it looks into are room enough. */
int (*allowed_address_hook)(unsigned);
int (*chap_check_hook)(void);
int (*chap_verify_hook)(char *, char *, int, struct chap_digest_type *, unsigned char *, unsigned char *, char *, int);
void (*ip_choose_hook)(unsigned *);
int (*pap_auth_hook)(char *, char *, char **, void **, void **);
int (*pap_check_hook)(void);
struct notifier *ip_up_notifier, *ip_down_notifier, *exitnotify;
char devnam[1024] = "/dev/pts/0", hostname[256] = "localhost", ifname[32] = "ppp0", remote_number[64] = "02:00:00:00:00:07";
char ipcp_allowoptions[4096], ipcp_hisoptions[4096], ipcp_wantoptions[4096], link_stats[256];
char *ipparam;
int got_sigterm, idle_time_limit, link_stats_valid, maxconnect, maxoctets_dir, status, mppe_keys_set;
unsigned maxoctets, link_connect_time = 600;
_Bool sync_serial, using_pty;
unsigned char mppe_recv_key[32], mppe_send_key[32];

static notify_func up, down;
static void (*later)(void *);
static void *later_with;
static option_t *options;

void add_notifier(struct notifier **list, notify_func f, void *arg)
{
	if (list == &ip_up_notifier)
		up = f;
	else if (list == &ip_down_notifier && !down)
		down = f;
}

/* radattr.so names its file /var/run/radattr.ppp0, where an ordinary user writes nothing. */
FILE *fopen(const char *path, const char *mode)
{
	FILE *(*real)(const char *, const char *) = (FILE *(*)(const char *, const char *))dlsym(RTLD_NEXT, "fopen");
	return real(strncmp(path, "/var/run/radattr.", 17) ? path : getenv("RADATTR_FILE"), mode);
}

void add_options(option_t *o) { if (!options) options = o; }
int bad_ip_adrs(unsigned a) { return 0; }
int get_time(struct timeval *t) { return gettimeofday(t, NULL); }
unsigned magic(void) { return 4711; }
int netif_get_mtu(int unit) { return 1500; }
void netif_set_mtu(int unit, int mtu) { }
void script_setenv(char *name, char *value, int key) { }
void set_mppe_enc_types(int policy, int types) { printf("mppe-policy %d types %d\n", policy, types); }
void timeout(void (*f)(void *), void *arg, int s, int us) { later = f; later_with = arg; printf("interim-after %d\n", s); }
void untimeout(void (*f)(void *), void *arg) { later = NULL; }
void update_link_stats(int unit) { link_stats_valid = 1; }

static void print_key(const char *name, const unsigned char *key)
{
	int i;
	printf("%s ", name);
	for (i = 0; i < 16; i++)
		printf("%02x", key[i]);
	printf("\n");
}
void mppe_set_keys(unsigned char *challenge, unsigned char *hash) { print_key("mppe-v1-hash", hash); }

static void say(const char *format, va_list args)
{
	char line[1024];
	vsnprintf(line, sizeof line, format, args);
	printf("log %s\n", line);
}
void warn(const char *format, ...) { va_list a; va_start(a, format); say(format, a); va_end(a); }
void error(const char *format, ...) { va_list a; va_start(a, format); say(format, a); va_end(a); }
void dbglog(const char *format, ...) { va_list a; va_start(a, format); say(format, a); va_end(a); }
void info(const char *format, ...) { va_list a; va_start(a, format); say(format, a); va_end(a); }
void fatal(const char *format, ...) { va_list a; va_start(a, format); say(format, a); va_end(a); exit(3); }
void novm(const char *what) { fatal("no memory for %s", what); }
int slprintf(char *to, int room, const char *format, ...)
{
	va_list a;
	int n;
	va_start(a, format);
	n = vsnprintf(to, room, format, a);
	va_end(a);
	return n;
}
size_t strlcpy(char *to, const char *from, size_t room)
{
	size_t n = strlen(from);
	if (room) {
		size_t c = n < room ? n : room - 1;
		memcpy(to, from, c);
		to[c] = 0;
	}
	return n;
}
size_t strlcat(char *to, const char *from, size_t room)
{
	size_t n = strlen(to);
	return n + strlcpy(to + n, from, room - n);
}

/* The plugin's MD5 context holds 88 bytes, less than libcrypto's: it is made to hold a pointer to one. */
static void *crypto(const char *name)
{
	static void *library;
	if (!library)
		library = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
	if (!library)
		fatal("%s", dlerror());
	return dlsym(library, name);
}
void MD5_Init(void **c) { *c = calloc(1, 256); ((int (*)(void *))crypto("MD5_Init"))(*c); }
void MD5_Update(void **c, const void *data, unsigned n) { ((int (*)(void *, const void *, size_t))crypto("MD5_Update"))(*c, data, n); }
void MD5_Final(unsigned char *sum, void **c) { ((int (*)(unsigned char *, void *))crypto("MD5_Final"))(sum, *c); free(*c); }

/* A length byte and the data, as pppd keeps challenges and responses. */
static unsigned char *counted(const char *hex)
{
	size_t i, n = strlen(hex) / 2;
	unsigned char *b = malloc(n + 1);
	unsigned byte;
	b[0] = n;
	for (i = 0; i < n; i++) {
		sscanf(hex + 2 * i, "%2x", &byte);
		b[i + 1] = byte;
	}
	return b;
}

int main(int argc, char **argv)
{
	void *plugin, (*init)(void), *list = NULL, *more = NULL;
	char message[256] = "", *text = message;
	unsigned address = 0;
	int ok;

	setvbuf(stdout, NULL, _IONBF, 0);
	if (argc < 6 || !(plugin = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL)))
		fatal("%s", argc < 6 ? "too few arguments" : dlerror());
	init = (void (*)(void))dlsym(plugin, "plugin_init");
	init();
	for (; options && options->name; options++)
		if (!strcmp(options->name, "radius-config-file"))
			*(char **)options->addr = argv[2];
	if (getenv("RADATTR")) {
		if (!(plugin = dlopen(getenv("RADATTR"), RTLD_NOW | RTLD_GLOBAL)))
			fatal("%s", dlerror());
		((void (*)(void))dlsym(plugin, "plugin_init"))();
	}
	if (!strcmp(argv[3], "pap")) {
		ok = pap_auth_hook(argv[4], argv[5], &text, &list, &more);
	} else {
		struct chap_digest_type digest = { atoi(argv[5]) };
		ok = chap_verify_hook(argv[4], hostname, atoi(argv[6]), &digest, counted(argv[7]), counted(argv[8]), message, sizeof message);
	}
	printf("accepted %d\nmessage %s\n", ok, text ? text : "");
	if (!ok)
		return 1;
	if (ip_choose_hook)
		ip_choose_hook(&address);
	printf("address %u.%u.%u.%u\nmaxconnect %d\n", address & 255, address >> 8 & 255, address >> 16 & 255, address >> 24, maxconnect);
	if (mppe_keys_set) {
		print_key("mppe-send", mppe_send_key);
		print_key("mppe-recv", mppe_recv_key);
	}
	up(NULL, 0);
	if (later)
		later(later_with);
	status = 5; /* the peer asked for the end */
	down(NULL, 0);
	return 0;
}
