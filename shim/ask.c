/* ask.c — can the gate connect there? A program whose host refuses would hear nothing of it from a connect that is led, for the gate's port is open; it would send its
 * request, and hear a reset. So before a connection to a host the gate is asked, as a proxy is: CONNECT, on a connection of our own that lives as long as the question.
 * It says 200 when it has a connection, which it keeps a moment for what we say next, else the errno that it had (VCR-Errno).
 *
 * What it said stands in the session's table. That a host cannot be reached holds for a moment. That it can holds for look-ups until the gate has trouble with any host;
 * and for a connect on a socket that does not block, unless the host is so near that the answer comes at once (VCR-Near): whoever does not mean to wait does
 * so once for each host. All others ask each time. A look-up's question is that of the connect right behind it too.
 *
 * A word of reach[]: 0 never asked, else bits 0-15 the port, 16-27 the answer (0 reached, NAMELESS, else errno), 28-34 the index of the name, 35-45 `troubles` of then,
 * 46 it is near, 47 the gate keeps a connection for whoever takes this bit, 48-62 when, in parts of a second, 63 set. */
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include "shim.h"

enum { NAMELESS = 0xfff, TROUBLES = 0x7ff, PART_NS = 250000000, LASTS = 4 /* parts */, ANSWER = 512, WAIT_MS = 2000, WAIT_SOON_MS = 100 };
#define SET (1ull << 63)
#define KEPT (1ull << 47)
#define NEAR (1ull << 46)

static unsigned now_in_parts(void)
{
	return (unsigned)(vcr_now() / PART_NS) & 0x7fff;
}

static unsigned troubles(const struct vcr_lead_block *g)
{
	return vcr_load(&g->troubles) & TROUBLES;
}

static unsigned age_in_parts(uint64_t word)
{
	return (now_in_parts() - (unsigned)(word >> 48)) & 0x7fff;
}

static bool is_reached(uint64_t word)
{
	return !(word >> 16 & NAMELESS);
}

/* Does that word say something of that place still? */
static bool holds(const struct vcr_lead_block *g, uint64_t word, int index, unsigned port)
{
	if (!(word & SET) || (word & 0xffff) != port || (int)(word >> 28 & 0x7f) != index)
		return false;
	return is_reached(word) ? (word >> 35 & TROUBLES) == troubles(g) : age_in_parts(word) <= LASTS;
}

/* Need it not be asked again, though it holds? */
static bool is_enough(uint64_t *at, uint64_t word, enum vcr_ask why)
{
	if (!is_reached(word) || why == VCR_ASK_NAME)
		return true;
	if (word & KEPT && age_in_parts(word) <= 1 && __atomic_compare_exchange_n(at, &word, word & ~KEPT, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return true;
	return why == VCR_ASK_CONNECT_SOON && !(word & NEAR);
}

static int said_by(uint64_t word)
{
	int answer = (int)(word >> 16 & NAMELESS);
	return answer == NAMELESS ? VCR_ASK_UNKNOWN_NAME : answer;
}

/* ---- The question ---- */

static bool set_limit(int fd, int ms)
{
	struct timeval t = { ms / 1000, ms % 1000 * 1000 };
	return !vcr_call6(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, (long)&t, sizeof t, 0) && !vcr_call6(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, (long)&t, sizeof t, 0);
}

static bool send_question(int fd, const char *name, unsigned port)
{
	char text[VCR_LEAD_NAME + 64];
	bool v6 = strchr(name, ':');
	char *end = vcr_format(vcr_format(vcr_format(vcr_format(text, "CONNECT "), v6 ? "[" : ""), name), v6 ? "]:" : ":");
	end = vcr_format(vcr_format_number(end, port, 1), " HTTP/1.1\r\n\r\n");
	return vcr_call6(SYS_sendto, fd, (long)text, end - text, MSG_NOSIGNAL, 0, 0) == end - text;
}

/* The number behind VCR-Errno; -1: none. */
static int errno_of(const char *answer)
{
	static const char field[] = "VCR-Errno: ";
	const char *at = strstr(answer, field);
	int n = at ? 0 : -1;
	for (at = at ? at + sizeof field - 1 : answer; n >= 0 && *at >= '0' && *at <= '9' && n < 1000; at++)
		n = n * 10 + (*at - '0');
	return n;
}

/* The head of the answer, as the word has it. A signal ends the wait; who sends one means to. */
static uint64_t read_answer(int fd)
{
	char text[ANSWER + 1];
	size_t n = 0;
	*text = 0;
	while (n < ANSWER && !strstr(text, "\r\n\r\n")) {
		long k = vcr_call6(SYS_recvfrom, fd, (long)(text + n), (long)(ANSWER - n), 0, 0, 0);
		if (k <= 0)
			return 0;
		text[n += (size_t)k] = 0;
	}
	if (!strncmp(text, "HTTP/1.1 200", 12))
		return strstr(text, "VCR-Near: ") ? KEPT | NEAR : KEPT;
	int error = strncmp(text, "HTTP/1.1 502", 12) ? -1 : errno_of(text);
	return error < 0 || error >= NAMELESS ? 0 : (uint64_t)(error ? error : NAMELESS) << 16;
}

static uint64_t put_question(struct vcr_lead_block *g, int index, const char *name, unsigned port, int ms)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)vcr_load(&g->port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = (int)vcr_call3(SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t answer = 0;
	if (fd < 0)
		return 0;
	if (set_limit(fd, ms) && !vcr_call3(SYS_connect, fd, (long)&to, sizeof to)) {
		vcr_lead_say(g, fd, false, index, true, port);
		if (send_question(fd, name, port))
			answer = read_answer(fd);
	}
	raw_close(fd);
	return answer;
}

int vcr_ask(struct vcr_lead_block *g, int index, const char *name, unsigned port, enum vcr_ask why)
{
	uint64_t *at = &g->reach[index % VCR_LEAD_REACHES], word = vcr_load(at);
	if (holds(g, word, index, port) && is_enough(at, word, why))
		return said_by(word);
	if (vcr_self.sandboxed || vcr_guest())
		return 0;
	vcr_say_process(vcr_spool_mapped()); /* before the gate speaks of it */
	unsigned before = troubles(g);
	uint64_t answer = put_question(g, index, name, port, why == VCR_ASK_CONNECT_SOON ? WAIT_SOON_MS : WAIT_MS);
	if (why != VCR_ASK_NAME)
		answer &= ~KEPT; /* it is for this one */
	word = port | answer | (uint64_t)index << 28 | (uint64_t)before << 35 | (uint64_t)now_in_parts() << 48 | SET;
	vcr_store(at, word);
	return said_by(word);
}
