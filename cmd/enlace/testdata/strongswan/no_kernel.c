/*
 * A plugin for strongSwan's charon that says it does what the kernel's IPsec and routing do, and does nothing. With it
 * charon runs for an ordinary user, on a kernel without IPsec: IKE, RADIUS and what a DAE command changes are real; only
 * no packet of a subscriber is carried. Loaded by LD_PRELOAD and "load = no-kernel ...": charon looks for a plugin's
 * constructor among the program's own symbols first. The types are those of strongSwan's plugin_feature.h and plugin.h.
 */
#include <string.h>

typedef struct {
	int kind; /* 0: it provides */
	int type;
	union { const char *name; void *room[2]; } of;
} feature_t;

typedef struct plugin_t plugin_t;
struct plugin_t {
	char *(*get_name)(plugin_t *);
	int (*get_features)(plugin_t *, feature_t **);
	_Bool (*reload)(plugin_t *);
	void (*destroy)(plugin_t *);
};

/* From libstrongswan: "CUSTOM:kernel-ipsec" for a feature known by a name alone. The number of that type is charon's. */
char *plugin_feature_get_string(feature_t *);

static feature_t provided[] = {{0, 0, {"kernel-ipsec"}}, {0, 0, {"kernel-net"}}};

static char *get_name(plugin_t *p) { return "no-kernel"; }

static int get_features(plugin_t *p, feature_t **features)
{
	int type;
	for (type = 1; type < 64; type++) {
		const char *text;
		provided[0].type = provided[1].type = type;
		text = plugin_feature_get_string(&provided[0]);
		if (text && !strncmp(text, "CUSTOM:", 7))
			break;
	}
	*features = provided;
	return 2;
}

static void destroy(plugin_t *p) { }

static plugin_t plugin = {get_name, get_features, 0, destroy};

plugin_t *no_kernel_plugin_create(void) { return &plugin; }
