/* lookup.c — names to addresses where there is a gate. A name that is led gets the address that stands for it (lead.c), by giving the
 * original the address's text: so libc allocates the answer, whatever its shape, and asks nobody. In a replay other names are refused at
 * once, but for this machine's own: those that /etc/hosts has. */
#include <arpa/inet.h>
#include "shim.h"

/* ---- What becomes of a name ---- */

enum way { OWN, LED, REFUSED };

static bool is_number(const char *name)
{
	struct in_addr v4;
	return strchr(name, ':') || inet_aton(name, &v4);
}

static bool line_has(const char *line, size_t n, const char *name, size_t length)
{
	const char *end = memchr(line, '#', n);
	end = end ? end : line + n;
	for (bool first = true; line < end; first = false) {
		while (line < end && (*line == ' ' || *line == '\t' || *line == '\r'))
			line++;
		const char *word = line;
		while (line < end && *line != ' ' && *line != '\t' && *line != '\r')
			line++;
		if (!first && (size_t)(line - word) == length && !strncasecmp(word, name, length))
			return true;
	}
	return false;
}

/* Complete lines of the n bytes at text, up to the last newline; how many bytes they have. */
static size_t lines_have(const char *text, size_t n, const char *name, size_t length, bool *found)
{
	size_t at = 0;
	for (const char *end; !*found && (end = memchr(text + at, '\n', n - at)); at = (size_t)(end + 1 - text))
		*found = line_has(text + at, (size_t)(end - (text + at)), name, length);
	return at;
}

/* A line longer than a page is passed over. */
static bool in_hosts_file(const char *name)
{
	struct vcr_scratch *s = vcr_self.sandboxed ? NULL : vcr_scratch_take();
	int fd = s ? raw_open("/etc/hosts", O_RDONLY | O_CLOEXEC, 0) : -1;
	size_t length = strlen(name);
	bool found = false;
	uint64_t at = 0;
	for (long n; fd >= 0 && !found && (n = raw_pread(fd, s->a, sizeof s->a - 1, at)) > 0;) {
		if (n < (long)sizeof s->a - 1)
			s->a[n++] = '\n';
		size_t used = lines_have(s->a, (size_t)n, name, length, &found);
		at += used ? used : (size_t)n;
	}
	if (fd >= 0)
		raw_close(fd);
	if (s)
		vcr_scratch_give(s);
	return found;
}

static enum way way_of(const char *name, unsigned port, struct vcr_lead_numeric *n)
{
	vcr_gate_wanted();
	if (vcr_likely(!vcr_lead()) || !name || !*name || is_number(name))
		return OWN;
	int saved = errno;
	enum way w = vcr_lead_name(name, port, n) ? LED : vcr_lead_replays() && !vcr_lead_is_local_name(name) && !in_hosts_file(name) ? REFUSED : OWN;
	errno = saved;
	return w;
}

static unsigned port_of(const char *service)
{
	unsigned port = 0;
	if (!service || !strcmp(service, "http") || !strcmp(service, "https"))
		return !service ? 0 : service[4] ? 443 : 80;
	for (; *service >= '0' && *service <= '9' && port < 65536; service++)
		port = port * 10 + (unsigned)(*service - '0');
	return port;
}

/* ---- getaddrinfo and its reverse ---- */

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
	struct addrinfo h = { .ai_flags = AI_V4MAPPED };
	struct vcr_lead_numeric n;
	if (hints && hints->ai_flags & AI_NUMERICHOST)
		return VCR_REAL(getaddrinfo)(name, service, hints, found);
	switch (way_of(name, port_of(service), &n)) {
	case LED:
		if (!vcr_lead_is_known(name, port_of(service))) {
			int none = VCR_REAL(getaddrinfo)(name, service, hints, found);
			if (none)
				return none;
			freeaddrinfo(*found);
		}
		if (hints)
			h = *hints;
		h.ai_flags &= ~AI_ADDRCONFIG; /* it holds whatever networks there are */
		return VCR_REAL(getaddrinfo)(h.ai_family == AF_INET6 ? n.v6 : n.v4, service, &h, found);
	case REFUSED:
		vcr_lead_refused(VCR_REFUSED_LOOKUP, EAI_NONAME, name);
		return EAI_NONAME;
	default: break;
	}
	int r = VCR_REAL(getaddrinfo)(name, service, hints, found), saved = errno;
	if (!r)
		vcr_failed_learn(name, *found);
	errno = saved;
	return r;
}

int getnameinfo(const struct sockaddr *a, socklen_t size, char *host, socklen_t nhost, char *service, socklen_t nservice, int flags)
{
	char name[VCR_LEAD_NAME];
	bool wanted = vcr_lead() && host && nhost && !(flags & NI_NUMERICHOST);
	if (wanted && vcr_lead_stands_for(a, size, name)) {
		int r = VCR_REAL(getnameinfo)(a, size, NULL, 0, service, nservice, (flags & ~NI_NAMEREQD) | NI_NUMERICHOST);
		if ((r && r != EAI_NONAME) || strlen(name) >= nhost)
			return r && r != EAI_NONAME ? r : EAI_OVERFLOW;
		memcpy(host, name, strlen(name) + 1);
		return 0;
	}
	if (wanted && vcr_lead_replays() && !vcr_lead_is_loopback(a, size)) {
		if (flags & NI_NAMEREQD)
			return EAI_NONAME;
		flags |= NI_NUMERICHOST;
	}
	return VCR_REAL(getnameinfo)(a, size, host, nhost, service, nservice, flags);
}

/* ---- gethostby… ---- */

static void refused(const char *name)
{
	vcr_lead_refused(VCR_REFUSED_LOOKUP, EAI_NONAME, name);
	h_errno = HOST_NOT_FOUND;
}

struct hostent *gethostbyname(const char *name)
{
	struct vcr_lead_numeric n;
	enum way w = way_of(name, 0, &n);
	if (w == REFUSED) {
		refused(name);
		return NULL;
	}
	return VCR_REAL(gethostbyname)(w == LED ? n.v4 : name);
}

struct hostent *gethostbyname2(const char *name, int family)
{
	struct vcr_lead_numeric n;
	enum way w = way_of(name, 0, &n);
	if (w == REFUSED) {
		refused(name);
		return NULL;
	}
	return VCR_REAL(gethostbyname2)(w != LED ? name : family == AF_INET6 ? n.v6 : n.v4, family);
}

static int refused_r(const char *name, struct hostent **found, int *why)
{
	refused(name);
	*found = NULL;
	*why = HOST_NOT_FOUND;
	return 0;
}

int gethostbyname_r(const char *name, struct hostent *h, char *buf, size_t size, struct hostent **found, int *why)
{
	struct vcr_lead_numeric n;
	enum way w = way_of(name, 0, &n);
	return w == REFUSED ? refused_r(name, found, why) : VCR_REAL(gethostbyname_r)(w == LED ? n.v4 : name, h, buf, size, found, why);
}

int gethostbyname2_r(const char *name, int family, struct hostent *h, char *buf, size_t size, struct hostent **found, int *why)
{
	struct vcr_lead_numeric n;
	enum way w = way_of(name, 0, &n);
	const char *asked = w != LED ? name : family == AF_INET6 ? n.v6 : n.v4;
	return w == REFUSED ? refused_r(name, found, why) : VCR_REAL(gethostbyname2_r)(asked, family, h, buf, size, found, why);
}

/* An address that would be asked for from a server: one that stands for a name, or in a replay one that is not this machine's. */
static bool hides(const void *address, socklen_t size, int family)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	char name[VCR_LEAD_NAME];
	if (vcr_likely(!vcr_lead()) || (family == AF_INET ? size < 4 : family != AF_INET6 || size < 16))
		return false;
	memcpy(family == AF_INET ? (void *)&v4.sin_addr : (void *)&v6.sin6_addr, address, family == AF_INET ? 4 : 16);
	const struct sockaddr *a = family == AF_INET ? (void *)&v4 : (void *)&v6;
	socklen_t n = family == AF_INET ? sizeof v4 : sizeof v6;
	return vcr_lead_stands_for(a, n, name) || (vcr_lead_replays() && !vcr_lead_is_loopback(a, n));
}

struct hostent *gethostbyaddr(const void *address, socklen_t size, int family)
{
	if (!hides(address, size, family))
		return VCR_REAL(gethostbyaddr)(address, size, family);
	h_errno = HOST_NOT_FOUND;
	return NULL;
}

int gethostbyaddr_r(const void *address, socklen_t size, int family, struct hostent *h, char *buf, size_t room, struct hostent **found, int *why)
{
	if (!hides(address, size, family))
		return VCR_REAL(gethostbyaddr_r)(address, size, family, h, buf, room, found, why);
	*found = NULL;
	*why = HOST_NOT_FOUND;
	return 0;
}

/* ---- The resolver's own calls, which go to a server whatever is asked ---- */

static bool res_refused(const char *name)
{
	if (vcr_likely(!vcr_lead_replays()))
		return false;
	vcr_lead_refused(VCR_REFUSED_LOOKUP, EAI_AGAIN, name ? name : "a DNS server");
	h_errno = TRY_AGAIN;
	errno = ENETUNREACH;
	return true;
}

int res_query(const char *name, int class, int type, unsigned char *answer, int n)
{
	return res_refused(name) ? -1 : VCR_REAL(res_query)(name, class, type, answer, n);
}

int res_search(const char *name, int class, int type, unsigned char *answer, int n)
{
	return res_refused(name) ? -1 : VCR_REAL(res_search)(name, class, type, answer, n);
}

int res_querydomain(const char *name, const char *domain, int class, int type, unsigned char *answer, int n)
{
	return res_refused(name) ? -1 : VCR_REAL(res_querydomain)(name, domain, class, type, answer, n);
}

int res_send(const unsigned char *question, int size, unsigned char *answer, int n)
{
	return res_refused(NULL) ? -1 : VCR_REAL(res_send)(question, size, answer, n);
}

int res_nquery(res_state s, const char *name, int class, int type, unsigned char *answer, int n)
{
	return res_refused(name) ? -1 : VCR_REAL(res_nquery)(s, name, class, type, answer, n);
}

int res_nsearch(res_state s, const char *name, int class, int type, unsigned char *answer, int n)
{
	return res_refused(name) ? -1 : VCR_REAL(res_nsearch)(s, name, class, type, answer, n);
}

int res_nquerydomain(res_state s, const char *name, const char *domain, int class, int type, unsigned char *answer, int n)
{
	return res_refused(name) ? -1 : VCR_REAL(res_nquerydomain)(s, name, domain, class, type, answer, n);
}

int res_nsend(res_state s, const unsigned char *question, int size, unsigned char *answer, int n)
{
	return res_refused(NULL) ? -1 : VCR_REAL(res_nsend)(s, question, size, answer, n);
}
