/* deaf.c — a program whose TLS no hook can hear: it finds OpenSSL's functions by itself, as one that has them linked in statically.
 *
 *   deaf [--h2] [--addr IP] HOST PORT PATH CA [PATH]...   says what NODE_EXTRA_CA_CERTS and SSL_CERT_FILE are, and whether they can be read before its first
 *                                                  call; then posts a question to each path, on a connection each, and says what is answered.
 *                                                  --addr: connects there without asking for the name; --h2: and offers to speak HTTP/2 alone
 *   deaf                                           only the former
 *
 * pylike exports what a Python does whose _ssl module and OpenSSL are linked in; it trusts what SSL_CERT_FILE names, besides CA.
 * bunlike is the same program exporting what Bun's single files and node export; it trusts what NODE_EXTRA_CA_CERTS names, besides CA. */
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
	void *(*method)(void), *(*new_context)(void *), *(*new)(void *);
	int (*trust)(void *, const char *, const char *), (*set_fd)(void *, int), (*connect)(void *), (*write)(void *, const void *, int), (*read)(void *, void *, int);
	int (*set_host)(void *, const char *), (*shutdown)(void *), (*offer)(void *, const unsigned char *, unsigned);
	long (*control)(void *, int, long, void *);
	void (*verify)(void *, int, void *), (*free)(void *);
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
	*(void **)&t->new_context = find(h, "SSL_CTX_new");
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
	struct tls t;
	const char *addr = NULL, *extra = getenv("NODE_EXTRA_CA_CERTS"), *file = getenv("SSL_CERT_FILE");
	say("NODE_EXTRA_CA_CERTS");
	say("SSL_CERT_FILE");
	fflush(stdout);
	int h2 = argc > 1 && !strcmp(argv[1], "--h2");
	argv += h2;
	argc -= h2;
	if (argc > 2 && !strcmp(argv[1], "--addr")) {
		addr = argv[2];
		argv += 2;
		argc -= 2;
	}
	if (argc < 5)
		return 0;
	load(&t);
	void *context = t.new_context(t.method());
	t.verify(context, 1, NULL);
	if (h2)
		t.offer(context, (const unsigned char *)"\2h2", 3);
	t.trust(context, argv[4], NULL);
	if (extra)
		t.trust(context, extra, NULL);
	if (file)
		t.trust(context, file, NULL);
	ask(&t, context, addr ? addr : argv[1], argv[1], argv[2], argv[3]);
	for (int i = 5; i < argc; i++)
		ask(&t, context, addr ? addr : argv[1], argv[1], argv[2], argv[i]);
	return 0;
}
