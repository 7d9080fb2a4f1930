#include "lead.h"
#include "lead-address.h"
#include "spool.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- The shim is told ---- */

static int put(char *to, size_t cap, const char *s, const char *what, struct vcr_error *e)
{
	size_t n = s ? strlen(s) : 0;
	if (n >= cap)
		return vcr_error_set(e, VCR_EINVAL, "the %s is longer than %zu bytes: %.100s...", what, cap - 1, s);
	memset(to, 0, cap);
	if (n)
		memcpy(to, s, n);
	return 0;
}

static int put_hosts(struct vcr_lead_block *g, const char *const *hosts, struct vcr_error *e)
{
	size_t at = 0;
	for (; hosts && *hosts; hosts++) {
		size_t n = strlen(*hosts) + 1;
		if (n == 1 || n > VCR_LEAD_NAME)
			continue; /* the shim knows no such names */
		if (at + n >= VCR_LEAD_HOSTS)
			return vcr_error_set(e, VCR_ELIMIT, "too many model hosts: connections to '%s' and those behind it are not led", *hosts);
		memcpy(g->hosts + at, *hosts, n);
		at += n;
	}
	g->hosts[at] = 0;
	return 0;
}

void vcr_lead_announce(struct vcr_spool_header *h)
{
	struct stat st;
	h->gate.start = vcr_spool_start_time(getpid());
	h->gate.pid_ns = stat("/proc/self/ns/pid", &st) ? 0 : st.st_ino;
	__atomic_store_n(&h->gate.pid, getpid(), __ATOMIC_RELEASE);
	vcr_spool_wake(&h->gate.state);
}

int vcr_lead_publish(struct vcr_spool_header *h, const struct vcr_lead_options *o, struct vcr_error *e)
{
	struct vcr_lead_block *g = &h->gate;
	int err = put(g->token, sizeof g->token, o->token, "token", e);
	if (!err)
		err = put(g->ca, sizeof g->ca, o->ca, "certificate's path", e);
	if (!err)
		err = put(g->bundle, sizeof g->bundle, o->bundle, "bundle's path", e);
	if (!err)
		err = put(g->extra, sizeof g->extra, o->extra, "bundle's path", e);
	if (err)
		return err;
	err = put_hosts(g, o->hosts, e);
	g->port = (uint32_t)o->port;
	vcr_lead_announce(h);
	g->flags = (o->replay ? VCR_LEAD_REPLAY : 0) | (o->v6 ? VCR_LEAD_V6 : 0) | (o->untapped_only ? VCR_LEAD_UNTAPPED : 0);
	__atomic_store_n(&g->state, VCR_LEAD_READY, __ATOMIC_RELEASE);
	vcr_spool_wake(&g->state);
	return err;
}

void vcr_lead_retract(struct vcr_spool_header *h)
{
	__atomic_store_n(&h->gate.state, VCR_LEAD_ENDED, __ATOMIC_RELEASE);
	vcr_spool_wake(&h->gate.state);
}

/* ---- The shim is asked ---- */

static bool name_of(const struct vcr_lead_block *g, unsigned i, char name[VCR_LEAD_NAME])
{
	if (i >= VCR_LEAD_NAMES || __atomic_load_n(&g->name[i].state, __ATOMIC_ACQUIRE) != VCR_LEAD_NAME_SET)
		return false;
	memcpy(name, g->name[i].text, VCR_LEAD_NAME);
	name[VCR_LEAD_NAME - 1] = 0;
	for (const char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("-._:", *p))
			return false;
	return *name;
}

static uint64_t take(struct vcr_lead_block *g, uint64_t key)
{
	for (unsigned i = 0; i < VCR_LEAD_PROBE; i++) {
		uint64_t *slot = &g->led[((key & 0xffff) + i) % VCR_LEAD_PORTS], word = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
		if (word & VCR_LED_SET && (word & VCR_LED_KEY) == key && __atomic_compare_exchange_n(slot, &word, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			return word;
	}
	return 0;
}

/* Words of the supervisor: of an address of this machine it is that host's, of another the first bytes may say whose. */
static enum vcr_gate_meant take_address(struct vcr_spool_header *h, uint64_t key, char host[VCR_GATE_HOST], int *pid)
{
	bool here;
	if (!vcr_lead_take_address(h, (uint32_t)key, host, pid, &here))
		return VCR_MEANT_UNKNOWN;
	return here ? VCR_MEANT_HOST : VCR_MEANT_ADDRESS;
}

/* The words of late[] about that place, from *i on; *i is behind the one that is returned. */
static uint64_t *next_late(struct vcr_spool_header *h, int *i, unsigned name, unsigned port)
{
	while (*i < VCR_LEAD_LATE) {
		uint64_t *at = &h->gate.late[(*i)++], word = __atomic_load_n(at, __ATOMIC_ACQUIRE);
		if (!word)
			return NULL;
		if (word & VCR_LATE_SET && (word >> VCR_LATE_NAME_SHIFT & VCR_LED_NAME_MASK) == name && (word >> VCR_LATE_PORT_SHIFT & VCR_LED_PORT_MASK) == port)
			return at;
	}
	return NULL;
}

static void place_text(const char *name, unsigned port, char host[VCR_GATE_HOST])
{
	snprintf(host, VCR_GATE_HOST, strchr(name, ':') ? "[%s]:%u" : "%s:%u", name, port);
}

bool vcr_lead_judged(struct vcr_spool_header *h, const char *host, bool trusted, bool *news)
{
	const uint64_t bit = trusted ? VCR_LATE_TRUSTED : VCR_LATE_REFUSED;
	const char *colon = strrchr(host, ':');
	unsigned port = colon ? (unsigned)atoi(colon + 1) & VCR_LED_PORT_MASK : 0;
	char name[VCR_LEAD_NAME], is[VCR_GATE_HOST];
	bool found = false;
	for (unsigned k = 0; k < VCR_LEAD_NAMES; k++) {
		if (!name_of(&h->gate, k, name))
			continue;
		place_text(name, port, is);
		if (strcmp(is, host))
			continue;
		int i = 0;
		for (uint64_t *at; (at = next_late(h, &i, k, port)); found = true)
			*news |= !(__atomic_fetch_or(at, bit, __ATOMIC_ACQ_REL) & bit);
	}
	return found;
}

/* Led by an address that the program found by itself: whose it is, it says itself. */
static bool is_late_address(struct vcr_spool_header *h, const char *name, unsigned index, unsigned port)
{
	unsigned char ip[16];
	int i = 0;
	return (inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1) && next_late(h, &i, index, port);
}

enum vcr_gate_meant vcr_lead_meant(void *header, const struct sockaddr *peer, char host[VCR_GATE_HOST], int *pid)
{
	struct vcr_spool_header *h = header;
	const struct sockaddr_in *v4 = (const void *)peer;
	const struct sockaddr_in6 *v6 = (const void *)peer;
	char name[VCR_LEAD_NAME];
	bool six = peer->sa_family == AF_INET6;
	uint64_t key = six ? ntohs(v6->sin6_port) : ntohs(v4->sin_port);
	if (six && !IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		key |= VCR_LED_V6;
	uint64_t word = take(&h->gate, key);
	if (!word)
		return take_address(h, key, host, pid);
	unsigned port = word >> VCR_LED_PORT_SHIFT & VCR_LED_PORT_MASK, index = word >> VCR_LED_NAME_SHIFT & VCR_LED_NAME_MASK;
	if (!port || !name_of(&h->gate, index, name))
		return VCR_MEANT_UNKNOWN;
	*pid = (int)(word >> VCR_LED_PID_SHIFT & VCR_LED_PID_MASK);
	if (word & VCR_LED_PROXY)
		return VCR_MEANT_PROXY;
	place_text(name, port, host);
	return is_late_address(h, name, index, port) ? VCR_MEANT_ADDRESS : VCR_MEANT_HOST;
}

/* The gate alone writes there. */
void vcr_lead_spoke(void *header, int pid)
{
	struct vcr_spool_header *h = header;
	int i = 0;
	pid = pid > 0 ? pid : VCR_SPOKE_UNNAMED;
	while (i < VCR_SPOKEN && h->spoke[i] && h->spoke[i] != pid)
		i++;
	if (i == VCR_SPOKEN)
		i = (int)((unsigned)pid % VCR_SPOKEN);
	__atomic_store_n(&h->spoke[i], pid, __ATOMIC_RELEASE);
}
