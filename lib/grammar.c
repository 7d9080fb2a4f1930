#include "grammar.h"
#include "buf.h"
#include <dlfcn.h>
#include <linux/limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <tree_sitter/api.h>
#include <unistd.h>

static const struct { const char *module, *name, *suffixes; } languages[] = {
#define ROW(id, module, name, suffixes) { module, name, suffixes },
	VCR_LANGUAGES(ROW)
#undef ROW
};

static struct loaded {
	const TSLanguage *grammar;
	char *path;
	struct vcr_error error; /* of the attempt; code 0 while there was none */
} loaded[VCR_LANG_COUNT];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool is_word(const char *list, const char *s, size_t n)
{
	for (const char *p = list; *p; p += *p == ' ') {
		size_t k = strcspn(p, " ");
		if (k == n && !strncasecmp(p, s, n))
			return true;
		p += k;
	}
	return false;
}

/* #!/usr/bin/env -S python3.11 -u: python */
static int language_of_interpreter(const char *text, size_t n)
{
	static const struct { const char *program; int language; } known[] = { { "python", VCR_LANG_PYTHON }, { "node", VCR_LANG_JAVASCRIPT },
		{ "bash", VCR_LANG_BASH }, { "sh", VCR_LANG_BASH }, { "dash", VCR_LANG_BASH }, { "ksh", VCR_LANG_BASH }, { "ruby", VCR_LANG_RUBY },
		{ "php", VCR_LANG_PHP }, { "tsx", VCR_LANG_TYPESCRIPT }, { "ts-node", VCR_LANG_TYPESCRIPT } };
	if (n < 3 || text[0] != '#' || text[1] != '!')
		return -1;
	const char *end = memchr(text, '\n', n < 256 ? n : 256), *p = text + 2;
	for (end = end ? end : text + (n < 256 ? n : 256); p < end;) {
		while (p < end && strchr(" \t\r", *p))
			p++;
		const char *word = p, *base = p;
		for (; p < end && !strchr(" \t\r", *p); p++)
			base = *p == '/' ? p + 1 : base;
		size_t k = (size_t)(p - base);
		if (word == p || *word == '-' || memchr(word, '=', (size_t)(p - word)) || (k == 3 && !memcmp(base, "env", 3)))
			continue;
		while (k && strchr("0123456789.", base[k - 1]))
			k--;
		for (size_t i = 0; i < sizeof known / sizeof *known; i++)
			if (strlen(known[i].program) == k && !memcmp(known[i].program, base, k))
				return known[i].language;
		return -1;
	}
	return -1;
}

int vcr_language_of(const char *path, const char *text, size_t n)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
	for (int i = 0; dot && dot > base && i < VCR_LANG_COUNT; i++)
		if (is_word(languages[i].suffixes, dot + 1, strlen(dot + 1)))
			return i;
	if (!strcmp(base, "Rakefile") || !strcmp(base, "Gemfile"))
		return VCR_LANG_RUBY;
	return dot && dot > base ? -1 : language_of_interpreter(text, text ? n : 0);
}

int vcr_language_named(const char *name)
{
	for (int i = 0; i < VCR_LANG_COUNT; i++)
		if (!strcasecmp(name, languages[i].module) || !strcasecmp(name, languages[i].name))
			return i;
	return -1;
}

const char *vcr_language_module(int language)
{
	return language >= 0 && language < VCR_LANG_COUNT ? languages[language].module : "";
}

const char *vcr_language_name(int language)
{
	return language >= 0 && language < VCR_LANG_COUNT ? languages[language].name : "";
}

/* The module's file: the first of the three places that has one. */
static bool find(const char *module, struct vcr_buf *path)
{
	const char *set = secure_getenv("VCR_GRAMMARS");
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	self[n > 0 ? n : 0] = 0;
	char *slash = strrchr(self, '/');
	if (slash)
		*slash = 0;
	/* the second: libtool runs what it has built from .libs, tests lie two directories down */
	const struct { const char *dir, *more; } places[] = { { set && *set ? set : NULL, "" }, { slash ? self : NULL, "/grammars" },
		{ slash ? self : NULL, "/../grammars" }, { slash ? self : NULL, "/../../grammars" }, { slash ? self : NULL, "/../../../grammars" },
		{ VCR_PKGLIBDIR, "/grammars" } };
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		vcr_buf_reset(path);
		if (places[i].dir && !vcr_buf_printf(path, "%s%s/%s.so", places[i].dir, places[i].more, module) && !access(path->data, R_OK))
			return true;
	}
	return false;
}

static int load(int language, struct loaded *l, struct vcr_error *e)
{
	const char *module = languages[language].module;
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	char symbol[64];
	if (!find(module, &path))
		return vcr_error_set(e, VCR_ENOTFOUND, "the grammar of %s is not installed (%s.so in " VCR_PKGLIBDIR "/grammars or $VCR_GRAMMARS)",
			languages[language].name, module);
	void *handle = dlopen(path.data, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return vcr_error_set(e, VCR_ENOTFOUND, "the grammar of %s cannot be loaded: %s", languages[language].name, dlerror());
	snprintf(symbol, sizeof symbol, "tree_sitter_%s", module);
	const TSLanguage *(*make)(void) = (const TSLanguage *(*)(void))dlsym(handle, symbol);
	const TSLanguage *grammar = make ? make() : NULL;
	uint32_t abi = grammar ? ts_language_version(grammar) : 0;
	if (!grammar || abi < TREE_SITTER_MIN_COMPATIBLE_LANGUAGE_VERSION || abi > TREE_SITTER_LANGUAGE_VERSION) {
		dlclose(handle);
		return !grammar ? vcr_error_set(e, VCR_ECORRUPT, "%s: no grammar of %s", path.data, languages[language].name)
			: vcr_error_set(e, VCR_EVERSION, "%s: a grammar for ABI %u; the tree-sitter here runs %d to %d", path.data, abi,
				  TREE_SITTER_MIN_COMPATIBLE_LANGUAGE_VERSION, TREE_SITTER_LANGUAGE_VERSION);
	}
	l->path = vcr_buf_take(&path, NULL);
	l->grammar = grammar;
	return 0;
}

int vcr_grammar_load(int language, const struct TSLanguage **out, struct vcr_error *e)
{
	if (language < 0 || language >= VCR_LANG_COUNT)
		return vcr_error_set(e, VCR_EINVAL, "no such language");
	struct loaded *l = &loaded[language];
	pthread_mutex_lock(&lock);
	if (!l->grammar && !l->error.code)
		load(language, l, &l->error);
	pthread_mutex_unlock(&lock);
	if (l->grammar)
		*out = l->grammar;
	else if (e)
		*e = l->error;
	return l->grammar ? 0 : l->error.code;
}

uint64_t vcr_grammar_stamp(void)
{
	uint64_t h = 14695981039346656037u;
	for (int i = 0; i < VCR_LANG_COUNT; i++) {
		VCR_AUTO_BUF path = VCR_BUF_INIT;
		struct stat st;
		if (!find(languages[i].module, &path) || stat(path.data, &st))
			continue;
		const int64_t parts[] = { i, st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (int64_t)st.st_ino };
		for (size_t k = 0; k < sizeof parts; k++)
			h = (h ^ ((const unsigned char *)parts)[k]) * 1099511628211u;
	}
	return h;
}

const char *vcr_grammar_path(int language)
{
	return language >= 0 && language < VCR_LANG_COUNT ? loaded[language].path : NULL;
}
