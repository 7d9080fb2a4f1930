/* gate-address.c — connections of which only the address is known that they were meant for: what is said first decides whose they are; and those that the gate
 * could not serve.
 *
 * TLS says it in the server name of its ClientHello (RFC 8446 §4.1.2, RFC 6066 §3), HTTP in the Host field. A listed host's is treated as led there. All
 * else, a client that waits for the server's first word, and a process that has refused the run's certificate before, is tunnelled to the address as
 * if nobody were in between. */
#include "gate-parts.h"
#include "hello.h"
#include "limits.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum said { NOT_YET, NOTHING, A_NAME };
enum { RECORD_HEAD = 5, HEAD_MAX = 64 << 10, NAME_MAX_BYTES = 255, PORT_HTTP = 80, PORT_TLS = 443, PORT_TLS_TOO = 8443, SLOW_MS = 5000 };

/* ---- A ClientHello ---- */

static enum said hello_name(const char *p, size_t n, char name[NAME_MAX_BYTES + 1])
{
	const unsigned char *b = (const unsigned char *)p;
	bool only_h2;
	_Static_assert((int)VCR_HELLO_NAME <= (int)NAME_MAX_BYTES, "it fits");
	if (n < RECORD_HEAD || n < RECORD_HEAD + (size_t)(b[3] << 8 | b[4]))
		return NOT_YET;
	return vcr_hello_read(p, n, name, &only_h2) ? A_NAME : NOTHING;
}

/* ---- A request's head ---- */

static bool is_method(const char *p, size_t n)
{
	static const char *const list[] = { "GET ", "POST ", "PUT ", "HEAD ", "DELETE ", "PATCH ", "OPTIONS " };
	for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
		size_t k = strlen(list[i]);
		if (!memcmp(p, list[i], n < k ? n : k))
			return true;
	}
	return false;
}

static enum said head_name(const char *p, size_t n, char name[NAME_MAX_BYTES + 1])
{
	if (!is_method(p, n))
		return NOTHING;
	for (const char *line = p, *lf; (lf = memchr(line, '\n', n - (size_t)(line - p))); line = lf + 1) {
		size_t k = (size_t)(lf - line);
		if (k <= 1)
			return NOTHING; /* the head ends */
		if (k < 5 || strncasecmp(line, "host:", 5))
			continue;
		const char *at = line + 5, *end = lf;
		while (at < end && (*at == ' ' || *at == '\t'))
			at++;
		while (end > at && isspace((unsigned char)end[-1]))
			end--;
		snprintf(name, NAME_MAX_BYTES + 1, "%.*s", (int)(end - at), at);
		return *name ? A_NAME : NOTHING;
	}
	return n < HEAD_MAX ? NOT_YET : NOTHING;
}

/* ---- What becomes of it ---- */

static int port_of(const char *address)
{
	const char *colon = strrchr(address, ':');
	return colon ? atoi(colon + 1) : 0;
}

/* HOST or HOST:PORT; a name with neither brackets nor other colons is what a listed host looks like. */
static bool is_listed(const struct vcr_gate_exchange *c, const char *said, char host[VCR_GATE_HOST])
{
	int port = port_of(c->address);
	char bare[NAME_MAX_BYTES + 1];
	snprintf(bare, sizeof bare, "%s", said);
	char *colon = strrchr(bare, ':');
	if (colon)
		*colon = 0;
	for (const char *p = bare; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("-._", *p))
			return false;
	snprintf(host, VCR_GATE_HOST, "%s:%d", bare, port);
	return vcr_ca_lists(c->gate->o.ca, bare, port);
}

static bool is_distrusted(const struct vcr_gate_exchange *c)
{
	for (int i = 0; i < DISTRUSTS; i++)
		if (c->pid && c->gate->distrusts[i] == c->pid)
			return true;
	return false;
}

static void tunnel_away(struct vcr_gate_exchange *c)
{
	char host[VCR_GATE_HOST];
	bool bracket = *c->address == '[';
	const char *end = strrchr(c->address, ':');
	snprintf(host, sizeof host, "%.*s", (int)(end - c->address) - 2 * bracket, c->address + bracket);
	c->state = ANSWER;
	c->deadline_ms = 0;
	c->left = -1;
	c->told = true;
	c->unasked = true;
	c->gate->o.handler->tunnel(c->gate->o.ctx, c, host, port_of(c->address));
}

static void tunnel(struct vcr_gate_exchange *c)
{
	if (c->named || !c->gate->o.handler->tunnel)
		vcr_gate_kill(c);
	else
		tunnel_away(c);
}

bool vcr_gate_address_said(struct vcr_gate_exchange *c)
{
	char name[NAME_MAX_BYTES + 1] = "", host[VCR_GATE_HOST];
	const char *p = c->early.data;
	size_t n = c->early.len;
	enum said s = is_distrusted(c) ? NOTHING : *p == 0x16 ? hello_name(p, n, name) : head_name(p, n, name);
	if (s == NOT_YET)
		return false;
	if (s == NOTHING || !is_listed(c, name, host)) {
		tunnel(c);
		return false;
	}
	c->authorised = true;
	c->lead_host = strdup(host);
	if (!c->lead_host)
		vcr_gate_kill(c);
	return c->lead_host;
}

/* Where TLS or HTTP is spoken the client has the first word. One that has not said it is slow: its machine is busy, or it has more to do before. */
static bool has_first_word(const struct vcr_gate_exchange *c)
{
	int port = port_of(c->address);
	return port == PORT_TLS || port == PORT_TLS_TOO || port == PORT_HTTP || vcr_ca_lists_port(c->gate->o.ca, port);
}

void vcr_gate_address_silent(struct vcr_gate_exchange *c, int64_t ms)
{
	if (c->address && !c->lead_host && (ms > SLOW_MS || !has_first_word(c)))
		tunnel(c);
}

/* The client ended the handshake: with the certificate or without a word. The next time it is left alone. */
void vcr_gate_address_distrusts(struct vcr_gate_exchange *c)
{
	struct vcr_gate *g = c->gate;
	if (!c->address || c->named || !c->pid || is_distrusted(c))
		return;
	g->distrusts[g->next_distrust++ % DISTRUSTS] = c->pid;
	if (g->o.handler->distrusted)
		g->o.handler->distrusted(g->o.ctx, c->lead_host, c->pid);
}
