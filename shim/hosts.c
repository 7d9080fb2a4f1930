/* hosts.c — names for resolvers that a library brings (the c-ares in grpcio): libc's functions are answered by lookup.c, a name server is out of reach in a replay. So what
 * such a library reads as /etc/hosts begins with the hosts that the replay has, at the addresses that are led.
 *
 * A resolver is a library that reads /etc/resolv.conf and then /etc/hosts. A program's own reading, and that of Python, is what it is: nobody else sees another file. */
#include <dlfcn.h>
#include <link.h>
#include "shim.h"

enum { MOST = 1 << 20 };

static const void *resolver;

const void *vcr_library_of(const void *caller)
{
	Dl_info info;
	struct link_map *map = NULL;
	if (!caller || !dladdr1(caller, &info, (void **)&map, RTLD_DL_LINKMAP) || !map || !*map->l_name)
		return NULL;
	const char *slash = strrchr(map->l_name, '/');
	return slash && (!strncmp(slash, "/libpython", 10) || !strncmp(slash, "/libc.so", 8)) ? NULL : info.dli_fbase;
}

/* A name and nothing else. */
static size_t name_length(const char *entry, size_t n)
{
	const char *colon = memchr(entry, ':', n);
	bool digits = true;
	n = colon ? (size_t)(colon - entry) : n;
	for (size_t i = 0; i < n; i++) {
		char c = entry[i];
		if (c <= ' ' || c == '*' || c == '?' || c == '[' || c == '#')
			return 0;
		digits = digits && ((c >= '0' && c <= '9') || c == '.');
	}
	return digits || n >= VCR_LEAD_NAME ? 0 : n;
}

static bool write_entry(int to, struct vcr_lead_block *g, const char *entry, size_t n)
{
	char name[VCR_LEAD_NAME], line[VCR_LEAD_NAME + 24];
	memcpy(name, entry, n);
	name[n] = 0;
	int i = vcr_lead_is_local_name(name) ? -1 : vcr_lead_index(g, name);
	if (i < 0)
		return true;
	char *end = vcr_format(vcr_format(vcr_format_number(vcr_format(line, "127.77.0."), (uint64_t)i + 1, 1), " "), name);
	*end++ = '\n';
	return vcr_call3(SYS_write, to, (long)line, end - line) == end - line;
}

static bool write_all(int to, struct vcr_lead_block *g, int from)
{
	struct stat st;
	off_t at = 0;
	for (size_t i = 0, n, k; i < VCR_LEAD_HOSTS && (n = strnlen(g->hosts + i, VCR_LEAD_HOSTS - i)); i += n + 1)
		if ((k = name_length(g->hosts + i, n)) && !write_entry(to, g, g->hosts + i, k))
			return false;
	if (raw_fstat(from, &st) || !S_ISREG(st.st_mode) || st.st_size > MOST)
		return false;
	while (at < st.st_size)
		if (vcr_call4(SYS_sendfile, to, from, (long)&at, st.st_size - at) <= 0)
			return false;
	return true;
}

static void lend(int fd, struct vcr_lead_block *g)
{
	int flags = (int)vcr_call3(SYS_fcntl, fd, F_GETFD, 0), to = (int)vcr_call3(SYS_memfd_create, (long)"hosts", 1 /* MFD_CLOEXEC */, 0);
	if (to >= 0 && flags >= 0 && write_all(to, g, fd) && vcr_call3(SYS_lseek, to, 0, SEEK_SET) == 0)
		vcr_call3(SYS_dup3, to, fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0);
	if (to >= 0)
		raw_close(to);
}

bool vcr_hosts_opened(int fd, const char *path, const void *caller)
{
	struct vcr_lead_block *g;
	bool hosts = !strcmp(path, "/etc/hosts");
	if (!hosts && strcmp(path, "/etc/resolv.conf"))
		return false;
	const void *library = vcr_lead_replays() ? vcr_library_of(caller) : NULL;
	if (!hosts && library)
		vcr_store(&resolver, library);
	else if (library && library == vcr_load(&resolver) && (g = vcr_lead()))
		lend(fd, g);
	return true;
}
