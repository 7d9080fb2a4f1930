/* env.c — the environment: hidden from the program that we are in, put back for the programs that it starts. */
#include "shim.h"

char *vcr_env_get(char *const env[], const char *name)
{
	for (; env && *env; env++)
		if (vcr_env_is(*env, name))
			return *env + strlen(name) + 1;
	return NULL;
}

static bool is_companion(const char *entry, size_t n)
{
	return vcr_self.companion && n == strlen(vcr_self.companion) && !memcmp(entry, vcr_self.companion, n);
}

/* Short texts, compared in each program as it begins: memcmp would have to be looked up for it. */
static bool are_same(const char *a, const char *b, size_t n)
{
	while (n && *a == *b) {
		a++;
		b++;
		n--;
	}
	return !n;
}

/* Is this entry of LD_PRELOAD our library? By file where it names one, by name where ld.so searches for it. */
static bool is_ours(const char *entry, size_t n)
{
	if (n == strlen(vcr_self.library) && are_same(entry, vcr_self.library, n))
		return true;
	if (!memchr(entry, '/', n))
		return n == strlen(vcr_self.library_name) && !memcmp(entry, vcr_self.library_name, n);
	struct vcr_scratch *s = n < PATH_MAX ? vcr_scratch_take() : NULL;
	if (!s)
		return false;
	struct stat a, b;
	memcpy(s->a, entry, n);
	s->a[n] = 0;
	bool same = !raw_statat(AT_FDCWD, s->a, &a, 0) && !raw_statat(AT_FDCWD, vcr_self.library, &b, 0) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
	vcr_scratch_give(s);
	return same;
}

static bool is_between(char c)
{
	return c == ':' || c == ' ';
}

/* LD_PRELOAD's entries are separated by colons and spaces (ld.so(8)). The next one from *at, its length; 0 at the end. */
static size_t next_entry(const char **at)
{
	size_t n = 0;
	while (is_between(**at))
		++*at;
	while ((*at)[n] && !is_between((*at)[n]))
		n++;
	return n;
}

static bool names_us(const char *list)
{
	for (size_t n; (n = next_entry(&list)); list += n)
		if (is_ours(list, n))
			return true;
	return false;
}

size_t vcr_env_count(char *const env[])
{
	size_t n = 0;
	while (env && env[n])
		n++;
	return n;
}

size_t vcr_env_text_size(char *const env[])
{
	const char *old = vcr_env_get(env, "LD_PRELOAD");
	return (old ? strlen(vcr_self.env_preload) + strlen(old) + 16 : 0) + sizeof VCR_ENV_SPOOL + 16 + strlen(vcr_self.spool_path);
}

/* The list without our library, as an LD_PRELOAD= entry; NULL if nothing is left. */
static char *without_us(const char *list, char *text)
{
	char *end = vcr_format(text, "LD_PRELOAD="), *begin = end;
	for (size_t n; (n = next_entry(&list)); list += n) {
		if (is_ours(list, n) || is_companion(list, n))
			continue;
		if (end > begin)
			*end++ = ':';
		memcpy(end, list, n);
		end += n;
		*end = 0;
	}
	return end > begin ? text : NULL;
}

/* VCR_SPOOL=<flags>:<path>; "s" goes with "j". */
static char *spool_entry(enum vcr_target target, bool there, bool named, char *text)
{
	char *at = vcr_format(text, VCR_ENV_SPOOL "=");
	if (vcr_self.within)
		*at++ = 't';
	if (!there)
		*at++ = 'p';
	if (vcr_target_takes(target))
		*at++ = 'j';
	if (target == VCR_TARGET_GO)
		*at++ = 's';
	if (named && vcr_target_takes(target)) /* another one hands it on */
		*at++ = 'n';
	if (at[-1] == '=')
		*at++ = '-';
	*at++ = ':';
	vcr_format(at, vcr_self.spool_path);
	return text;
}

void vcr_env_fill(char *const env[], enum vcr_target target, bool named, char **out, char *text)
{
	const char *list = vcr_env_get(env, "LD_PRELOAD");
	bool there = list && names_us(list);
	for (; env && *env; env++)
		if (!vcr_env_is(*env, VCR_ENV_SPOOL) && !vcr_env_is(*env, "LD_PRELOAD"))
			*out++ = *env;
	if (!vcr_target_hands_on(target)) {
		char *rest = list ? without_us(list, text) : NULL;
		if (rest)
			*out++ = rest;
	} else {
		char *entry = (char *)vcr_self.env_preload, *end = text;
		if (list && !there && *list)
			end = vcr_format(vcr_format(vcr_format(entry = text, vcr_self.env_preload), ":"), list) + 1;
		else if (there)
			end = vcr_format(vcr_format(entry = text, "LD_PRELOAD="), list) + 1;
		*out++ = entry;
		*out++ = spool_entry(target, there, named, end);
	}
	*out = NULL;
}

static void drop_entry(char **at)
{
	do
		at[0] = at[1];
	while (*at++);
}

unsigned vcr_env_flags(const char *spool)
{
	unsigned flags = 0;
	for (; *spool && *spool != ':'; spool++)
		flags |= *spool == 'p' ? VCR_ENV_INSERTED : *spool == 'j' ? VCR_ENV_COUNTED : *spool == 's' ? VCR_ENV_STACK : *spool == 't' ? VCR_ENV_WITHIN : *spool == 'n' ? VCR_ENV_NAMED : 0;
	return flags;
}

void vcr_env_keep(char *spool)
{
	for (; *spool && *spool != ':'; spool++)
		if (*spool != 'p')
			*spool = '-';
}

/* In place: libc hands main the array that environ points to, and no setenv has run yet. */
void vcr_env_hide(char **env, bool inserted)
{
	for (char **at = env; *at;) {
		char *value = *at + strlen("LD_PRELOAD=");
		if (vcr_env_is(*at, VCR_ENV_SPOOL)) {
			drop_entry(at);
			continue;
		}
		if (inserted && vcr_env_is(*at, "LD_PRELOAD")) {
			const char *list = value;
			size_t n = next_entry(&list);
			char *rest = value + (list - value) + n;
			if (n && is_ours(list, n)) {
				const char *more = rest;
				n = next_entry(&more);
				if (is_companion(more, n)) {
					more += n;
					next_entry(&more);
				}
				rest += more - rest;
				if (!*rest) {
					drop_entry(at);
					continue;
				}
				*at = memcpy(rest - strlen("LD_PRELOAD="), "LD_PRELOAD=", strlen("LD_PRELOAD="));
			}
		}
		at++;
	}
}
