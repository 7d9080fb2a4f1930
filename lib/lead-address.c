#include "lead-address.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

static bool is_mapped(const uint8_t ip[16])
{
	return !memcmp(ip, mapped, sizeof mapped);
}

/* 0.0.0.0 and :: are this machine too (ip(7), ipv6(7)). */
static bool is_loopback(const uint8_t ip[16])
{
	static const uint8_t any[16], one[16] = { [15] = 1 };
	if (is_mapped(ip))
		return ip[12] == 127 || !memcmp(ip + 12, any, 4);
	return !memcmp(ip, any, 16) || !memcmp(ip, one, 16);
}

static bool parse(const struct sockaddr *a, unsigned n, uint8_t ip[16], unsigned *port)
{
	const struct sockaddr_in *v4 = (const void *)a;
	const struct sockaddr_in6 *v6 = (const void *)a;
	if (n >= sizeof *v4 && a->sa_family == AF_INET) {
		memcpy(ip, mapped, sizeof mapped);
		memcpy(ip + 12, &v4->sin_addr, 4);
		*port = ntohs(v4->sin_port);
		return true;
	}
	if (n < offsetof(struct sockaddr_in6, sin6_scope_id) || a->sa_family != AF_INET6)
		return false;
	memcpy(ip, &v6->sin6_addr, 16);
	*port = ntohs(v6->sin6_port);
	return true;
}

/* ---- The supervisor ---- */

/* Is that port of this machine a model's: localhost:PORT, 127.0.0.1:PORT, [::1]:PORT; without a port that of HTTP? */
static bool lists_here(const struct vcr_lead_block *g, unsigned port)
{
	static const char *const here[] = { "localhost", "127.0.0.1", "[::1]" };
	for (size_t at = 0, n; at < VCR_LEAD_HOSTS && (n = strnlen(g->hosts + at, VCR_LEAD_HOSTS - at)); at += n + 1)
		for (size_t i = 0; i < sizeof here / sizeof *here; i++) {
			size_t k = strlen(here[i]);
			if (n < k || strncmp(g->hosts + at, here[i], k) || (g->hosts[at + k] && g->hosts[at + k] != ':'))
				continue;
			if (g->hosts[at + k] ? (unsigned)atoi(g->hosts + at + k + 1) == port : port == 80 || port == 443)
				return true;
		}
	return false;
}

/* An address that is a model's by itself. */
static bool lists_address(const struct vcr_lead_block *g, const uint8_t ip[16], unsigned port)
{
	char text[INET6_ADDRSTRLEN + 10], with[INET6_ADDRSTRLEN + 20];
	bool v4 = is_mapped(ip);
	if (!inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? ip + 12 : ip, text, INET6_ADDRSTRLEN))
		return false;
	snprintf(with, sizeof with, v4 ? "%s:%u" : "[%s]:%u", text, port);
	for (size_t at = 0, n; at < VCR_LEAD_HOSTS && (n = strnlen(g->hosts + at, VCR_LEAD_HOSTS - at)); at += n + 1)
		if (!strncmp(g->hosts + at, text, n + 1) || !strncmp(g->hosts + at, with, n + 1))
			return true;
	return false;
}

bool vcr_lead_lists_address(const struct vcr_spool_header *h, const struct sockaddr *a, unsigned n)
{
	uint8_t ip[16];
	unsigned port;
	return parse(a, n, ip, &port) && (is_loopback(ip) ? lists_here(&h->gate, port) : lists_address(&h->gate, ip, port));
}

enum vcr_lead_goal vcr_lead_goal(const struct vcr_spool_header *h, const struct sockaddr *a, unsigned n, bool stream)
{
	const struct vcr_lead_block *g = &h->gate;
	uint8_t ip[16];
	unsigned port;
	bool replay = __atomic_load_n(&g->flags, __ATOMIC_ACQUIRE) & VCR_LEAD_REPLAY;
	if (!parse(a, n, ip, &port))
		return VCR_GOAL_NONE;
	if (is_loopback(ip))
		return stream && port != g->port && lists_here(g, port) ? VCR_GOAL_GATE : VCR_GOAL_NONE;
	if (replay)
		return stream ? VCR_GOAL_GATE : VCR_GOAL_OUT;
	return stream && (port == 443 || port == 80 || lists_address(g, ip, port)) ? VCR_GOAL_GATE : VCR_GOAL_NONE;
}

bool vcr_lead_say_address(struct vcr_spool_header *h, const struct sockaddr *own, const struct sockaddr *meant, int pid)
{
	uint8_t ip[16], from[16];
	unsigned port, local;
	if (!parse(meant, sizeof(struct sockaddr_in6), ip, &port) || !parse(own, sizeof(struct sockaddr_in6), from, &local))
		return false;
	uint32_t key = local | (is_mapped(from) ? 0 : (uint32_t)VCR_LED_V6) | VCR_LED_KNOWN;
	struct vcr_lead_address *first = &h->gate.address[local % VCR_LEAD_ADDRESSES], *slot = NULL;
	for (unsigned i = 0; i < VCR_LEAD_PROBE; i++) {
		struct vcr_lead_address *at = &h->gate.address[(local + i) % VCR_LEAD_ADDRESSES];
		uint32_t is = __atomic_load_n(&at->key, __ATOMIC_ACQUIRE);
		if (is == key || (!is && !slot))
			slot = at;
		if (is == key)
			break;
	}
	slot = slot ? slot : first;
	__atomic_store_n(&slot->key, 0, __ATOMIC_RELEASE);
	slot->pid = pid;
	slot->port = port;
	slot->alone = 0;
	memcpy(slot->ip, ip, sizeof slot->ip);
	__atomic_store_n(&slot->key, key, __ATOMIC_RELEASE);
	return true;
}

/* ---- The gate ---- */

bool vcr_lead_take_address(struct vcr_spool_header *h, uint32_t key, char to[VCR_LEAD_ADDRESS], int *pid, bool *here)
{
	char text[INET6_ADDRSTRLEN];
	for (unsigned i = 0; i < VCR_LEAD_PROBE; i++) {
		struct vcr_lead_address *slot = &h->gate.address[((key & 0xffff) + i) % VCR_LEAD_ADDRESSES], is;
		if (__atomic_load_n(&slot->key, __ATOMIC_ACQUIRE) != (key | VCR_LED_KNOWN))
			continue;
		is = *slot;
		__atomic_store_n(&slot->key, 0, __ATOMIC_RELEASE);
		bool v4 = is_mapped(is.ip);
		if (!is.port || is.port > 65535 || !inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? is.ip + 12 : is.ip, text, sizeof text))
			return false;
		*pid = is.pid;
		*here = !is.alone && is_loopback(is.ip);
		snprintf(to, VCR_LEAD_ADDRESS, v4 ? "%s:%u" : "[%s]:%u", text, is.port);
		return true;
	}
	return false;
}
