/* failed.c — connections that could not be made. Which host was meant is known by the look-up before; a connect that goes on in the background
 * tells its end by SO_ERROR. What a failure means is the collector's to say: here it is a connection that opens and closes with its errno. */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include "shim.h"

enum { KNOWN = 64, TRYING = 32, PER_NAME = 8 };

struct address {
	uint8_t ip[16];       /* an IPv4 address in its mapped form */
	unsigned port;
};
/* Rings whose entries are written by whoever comes, without a lock: `turn` is odd meanwhile, and an entry that was written while it was read
 * is none. A name lost that way is an address in the recording. */
static struct { uint32_t turn; uint8_t ip[16]; char name[VCR_LEAD_NAME]; } known[KNOWN];
static struct { uint32_t turn; int fd; struct address to; } trying[TRYING];
static uint32_t next_known, next_trying;

static bool begin_entry(uint32_t *turn, uint32_t *was)
{
	*was = vcr_load(turn);
	return !(*was & 1) && __atomic_compare_exchange_n(turn, was, *was + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static bool still(const uint32_t *turn, uint32_t was)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return !(was & 1) && vcr_load(turn) == was;
}

static bool parse(const struct sockaddr *a, socklen_t n, struct address *to)
{
	const struct sockaddr_in *v4 = (const void *)a;
	const struct sockaddr_in6 *v6 = (const void *)a;
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	if (!a || n < sizeof *v4 || (a->sa_family == AF_INET6 && n < offsetof(struct sockaddr_in6, sin6_scope_id)))
		return false;
	if (a->sa_family == AF_INET) {
		memcpy(to->ip, mapped, sizeof mapped);
		memcpy(to->ip + 12, &v4->sin_addr, 4);
		to->port = ntohs(v4->sin_port);
		return true;
	}
	memcpy(to->ip, &v6->sin6_addr, 16);
	to->port = ntohs(v6->sin6_port);
	return a->sa_family == AF_INET6;
}

void vcr_failed_learn(const char *name, const struct addrinfo *found)
{
	size_t n = name ? strnlen(name, VCR_LEAD_NAME) : 0;
	struct address a;
	uint32_t was;
	if (!n || n == VCR_LEAD_NAME || !vcr_ready() || vcr_guest())
		return;
	for (int left = PER_NAME; found && left; found = found->ai_next) {
		if (!parse(found->ai_addr, found->ai_addrlen, &a))
			continue;
		left--;
		uint32_t i = __atomic_fetch_add(&next_known, 1, __ATOMIC_RELAXED) % KNOWN;
		if (!begin_entry(&known[i].turn, &was))
			continue;
		memcpy(known[i].ip, a.ip, sizeof a.ip);
		memcpy(known[i].name, name, n + 1);
		vcr_store(&known[i].turn, was + 2);
	}
}

static void name_of(const struct address *to, char name[VCR_LEAD_NAME])
{
	*name = 0;
	for (int i = 0; i < KNOWN; i++) {
		uint32_t was = vcr_load(&known[i].turn);
		if (!was || memcmp(known[i].ip, to->ip, sizeof to->ip))
			continue;
		memcpy(name, known[i].name, VCR_LEAD_NAME);
		name[VCR_LEAD_NAME - 1] = 0;
		if (still(&known[i].turn, was))
			return;
		*name = 0;
	}
}

static bool is_failure(int error)
{
	return error == ECONNREFUSED || error == ETIMEDOUT || error == EHOSTUNREACH || error == ENETUNREACH || error == ECONNRESET || error == EHOSTDOWN ||
		error == ENETDOWN;
}

/* With a port that is usual for TLS the host would have been asked over TLS. */
static void say(const struct address *to, int error)
{
	struct vcr_spool_header *h = vcr_spool_mapped();
	char name[VCR_LEAD_NAME], peer[80];
	uint32_t conn;
	if (!h || vcr_self.sandboxed || vcr_guest() || !vcr_collector_alive(h) || !(conn = vcr_next_conn()))
		return; /* nothing that was not begun is begun by what did not happen */
	name_of(to, name);
	*peer = '[';
	inet_ntop(AF_INET6, to->ip, peer + 1, 64);
	vcr_format_number(vcr_format(peer + strlen(peer), "]:"), to->port, 1);
	struct vcr_rec_conn c = { .kind = to->port == 443 || to->port == 8443 ? VCR_CONN_TLS : VCR_CONN_PLAIN, .fd = -1 };
	struct vcr_piece piece[3] = { { &c, sizeof c }, vcr_text(name), vcr_text(peer) };
	if (vcr_append(VCR_REC_CONN, conn, 0, piece, 3, 0))
		vcr_conn_closed(conn, error);
}

void vcr_failed_connect(int fd, const struct sockaddr *a, socklen_t n, int error)
{
	struct address to;
	uint32_t was;
	if ((error != EINPROGRESS && !is_failure(error)) || !vcr_ready() || vcr_guest() || !parse(a, n, &to))
		return;
	if (error != EINPROGRESS) {
		say(&to, error);
		return;
	}
	uint32_t i = __atomic_fetch_add(&next_trying, 1, __ATOMIC_RELAXED) % TRYING;
	if (!begin_entry(&trying[i].turn, &was))
		return;
	trying[i].fd = fd;
	trying[i].to = to;
	vcr_store(&trying[i].turn, was + 2);
}

void vcr_failed_result(int fd, int error)
{
	for (int i = 0; i < TRYING; i++) {
		uint32_t was = vcr_load(&trying[i].turn);
		struct address to = trying[i].to;
		if (!was || trying[i].fd != fd || !still(&trying[i].turn, was) || !begin_entry(&trying[i].turn, &was))
			continue;
		trying[i].fd = -1;
		vcr_store(&trying[i].turn, was + 2);
		if (is_failure(error))
			say(&to, error);
	}
}
