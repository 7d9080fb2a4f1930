/* deaf.c — a program whose TLS no hook can hear: it finds OpenSSL's functions by itself, as one that has them linked in statically.
 *
 *   deaf [OPTION]... HOST PORT PATH CA [PATH]...   says what NODE_EXTRA_CA_CERTS and SSL_CERT_FILE are, and whether they can be read before its first
 *                                                  call; then posts a question to each path, on a connection each, and says what is answered.
 *   deaf                                           only the former
 *
 * --addr IP     connects there without asking for the name, but for the last question with --name
 * --ares PORT   asks the name server at that port of this machine, by libc-ares, and not libc
 * --h2          offers to speak HTTP/2 alone
 * --anew        makes a client for each question, which reads CA; without it there is one
 * --pinned      reads CA for each question, but believes in what it read first
 *
 * pylike exports what a Python does whose _ssl module and OpenSSL are linked in; it trusts what SSL_CERT_FILE names, besides CA.
 * bunlike is the same program exporting what Bun's single files and node export; it trusts what NODE_EXTRA_CA_CERTS names, besides CA. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <getopt.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef LIKE_PYTHON
void *PyInit__ssl(void);
void *PyInit__ssl(void)
{
	return NULL;
}
#else
void napi_module_register(void *module);
void napi_module_register(void *module)
{
}
#endif

struct tls {
	void *(*method)(void), *(*new_context)(void *, const char *, void *), *(*new)(void *);
	int (*trust)(void *, const char *, const char *), (*set_fd)(void *, int), (*connect)(void *), (*write)(void *, const void *, int), (*read)(void *, void *, int);
	int (*set_host)(void *, const char *), (*shutdown)(void *), (*offer)(void *, const unsigned char *, unsigned);
	long (*control)(void *, int, long, void *);
	void (*verify)(void *, int, void *), (*free)(void *);
	void *(*memory)(const void *, int), *(*pem)(void *, void **, void *, void *), *(*store)(const void *);
	int (*add)(void *, void *);
};

static void *find(void *handle, const char *name)
{
	void *p = dlsym(handle, name);
	if (!p) {
		fprintf(stderr, "deaf: no %s\n", name);
		exit(77);
	}
	return p;
}

static void load(struct tls *t)
{
	void *h = dlopen("libssl.so.3", RTLD_NOW | RTLD_LOCAL);
	if (!h)
		exit(77);
	*(void **)&t->method = find(h, "TLS_client_method");
	*(void **)&t->new_context = find(h, "SSL_CTX_new_ex"); /* the other one jumps there, through the hook */
	*(void **)&t->new = find(h, "SSL_new");
	*(void **)&t->trust = find(h, "SSL_CTX_load_verify_locations");
	*(void **)&t->set_fd = find(h, "SSL_set_fd");
	*(void **)&t->connect = find(h, "SSL_connect");
	*(void **)&t->write = find(h, "SSL_write");
	*(void **)&t->read = find(h, "SSL_read");
	*(void **)&t->set_host = find(h, "SSL_set1_host");
	*(void **)&t->shutdown = find(h, "SSL_shutdown");
	*(void **)&t->offer = find(h, "SSL_CTX_set_alpn_protos");
	*(void **)&t->control = find(h, "SSL_ctrl");
	*(void **)&t->verify = find(h, "SSL_CTX_set_verify");
	*(void **)&t->free = find(h, "SSL_free");
	*(void **)&t->store = find(h, "SSL_CTX_get_cert_store");
	*(void **)&t->memory = find(h, "BIO_new_mem_buf");
	*(void **)&t->pem = find(h, "PEM_read_bio_X509");
	*(void **)&t->add = find(h, "X509_STORE_add_cert");
}

static int dial(const char *host, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = AF_INET }, *found = NULL;
	int r = getaddrinfo(host, port, &hints, &found), fd = r ? -1 : socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen)) {
		close(fd);
		fd = -1;
	}
	if (!r)
		freeaddrinfo(found);
	return fd;
}

/* ---- Names, by c-ares ---- */

static char ares_answer[64];

static void take_answer(void *arg, int status, int timeouts, struct hostent *h)
{
	if (status == 0 && h && h->h_addrtype == AF_INET)
		inet_ntop(AF_INET, h->h_addr_list[0], ares_answer, sizeof ares_answer);
}

static const char *ares_lookup(const char *host, const char *port)
{
	void *h = dlopen("libcares.so.2", RTLD_NOW | RTLD_LOCAL), *channel = NULL;
	if (!h)
		exit(77);
	int (*begin)(void **), (*servers)(void *, const char *), (*fds)(void *, fd_set *, fd_set *);
	void (*look)(void *, const char *, int, void (*)(void *, int, int, struct hostent *), void *), (*process)(void *, fd_set *, fd_set *), (*end)(void *);
	*(void **)&begin = find(h, "ares_init");
	*(void **)&servers = find(h, "ares_set_servers_ports_csv");
	*(void **)&look = find(h, "ares_gethostbyname");
	*(void **)&fds = find(h, "ares_fds");
	*(void **)&process = find(h, "ares_process");
	*(void **)&end = find(h, "ares_destroy");
	char server[40];
	snprintf(server, sizeof server, "127.0.0.1:%s", port);
	if (begin(&channel) || servers(channel, server))
		return host;
	*ares_answer = 0;
	look(channel, host, AF_INET, take_answer, NULL);
	for (int tries = 0; !*ares_answer && tries < 50; tries++) {
		fd_set in, out;
		struct timeval wait = { 0, 200000 };
		FD_ZERO(&in);
		FD_ZERO(&out);
		int n = fds(channel, &in, &out);
		if (!n)
			break;
		select(n, &in, &out, NULL, &wait);
		process(channel, &in, &out);
	}
	end(channel);
	return *ares_answer ? ares_answer : host;
}

/* ---- Certificates ---- */

struct roots { char text[1 << 16]; };

/* As what is no OpenSSL reads its roots: by itself. */
static void read_roots(const char *path, struct roots *r)
{
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(r->text, 1, sizeof r->text - 1, f) : 0;
	r->text[n] = 0;
	if (f)
		fclose(f);
}

static void *new_client(const struct tls *t, const struct roots *roots, int h2)
{
	void *c = t->new_context(NULL, NULL, t->method()), *memory = t->memory(roots->text, -1), *certificate;
	t->verify(c, 1, NULL);
	if (h2)
		t->offer(c, (const unsigned char *)"\2h2", 3);
	while ((certificate = t->pem(memory, NULL, NULL, NULL)))
		t->add(t->store(c), certificate);
	return c;
}

static void ask(const struct tls *t, void *context, const char *addr, const char *host, const char *port, const char *path)
{
	enum { SET_TLSEXT_HOSTNAME = 55 };
	static const char body[] = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}";
	char text[4096];
	void *s = t->new(context);
	int fd = dial(addr, port), n;
	if (fd < 0) {
		puts("no connection");
		return;
	}
	t->set_fd(s, fd);
	t->control(s, SET_TLSEXT_HOSTNAME, 0, (void *)host);
	t->set_host(s, host);
	if (t->connect(s) != 1) {
		puts("no trust");
	} else {
		n = snprintf(text, sizeof text, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", path, host, strlen(body), body);
		t->write(s, text, n);
		int got = 0;
		while (got < (int)sizeof text - 1 && (n = t->read(s, text + got, (int)sizeof text - 1 - got)) > 0)
			got += n;
		text[got] = 0;
		const char *end = strstr(text, "\r\n\r\n");
		printf("%s\n", end ? end + 4 : "no answer");
		t->shutdown(s);
	}
	t->free(s);
	close(fd);
}

static void say(const char *name)
{
	const char *value = getenv(name);
	printf("%s %s%s\n", name, value ? value : "-", value && access(value, R_OK) ? " not there" : "");
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "addr", 1, NULL, 'a' }, { "ares", 1, NULL, 'r' }, { "name", 0, NULL, 'n' }, { "h2", 0, NULL, '2' },
		{ "anew", 0, NULL, 'w' }, { "pinned", 0, NULL, 'p' }, { 0 } };
	static struct roots roots, ignored;
	struct tls t;
	const char *addr = NULL, *ares = NULL, *extra = getenv("NODE_EXTRA_CA_CERTS"), *file = getenv("SSL_CERT_FILE");
	int name = 0, h2 = 0, anew = 0, pinned = 0;
	say("NODE_EXTRA_CA_CERTS");
	say("SSL_CERT_FILE");
	fflush(stdout);
	for (int o; (o = getopt_long(argc, argv, "+", options, NULL)) > 0;) {
		addr = o == 'a' ? optarg : addr;
		ares = o == 'r' ? optarg : ares;
		name |= o == 'n';
		h2 |= o == '2';
		anew |= o == 'w';
		pinned |= o == 'p';
	}
	argv += optind;
	argc -= optind;
	if (argc < 4)
		return 0;
	const char *host = argv[0], *port = argv[1];
	load(&t);
	read_roots(argv[3], &roots);
	void *context = new_client(&t, &roots, h2);
	if (extra)
		t.trust(context, extra, NULL);
	if (file)
		t.trust(context, file, NULL);
	for (int i = 3; i < argc; i++) {
		if (i > 3 && (anew || pinned))
			read_roots(argv[3], pinned ? &ignored : &roots);
		if (i > 3 && anew)
			context = new_client(&t, &roots, h2);
		const char *to = ares ? ares_lookup(host, ares) : addr && !(name && i == argc - 1) ? addr : host;
		ask(&t, context, to, host, port, i == 3 ? argv[2] : argv[i]);
	}
	return 0;
}
