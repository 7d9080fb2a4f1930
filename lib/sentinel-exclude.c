#include "sentinel-exclude.h"
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include "limits.h"

enum { MOST_PATTERNS = 1000, MOST_STARS = 8 };

int vcr_excludes_add(struct vcr_excludes *x, const char *pattern, struct vcr_error *e)
{
	size_t n = strlen(pattern), stars = 0;
	while (n && pattern[n - 1] == '/')
		n--;
	if (!n || *pattern == '/' || (n > 2 && !strncmp(pattern, "../", 3)))
		return vcr_error_set(e, VCR_ESYNTAX, "'%s' is no pattern of a path below the workspace", pattern);
	for (size_t i = 0; i < n; i++)
		stars += pattern[i] == '*'; /* each multiplies the time that matching takes */
	if (x->n >= MOST_PATTERNS || stars > MOST_STARS)
		return vcr_error_set(e, VCR_ELIMIT, stars > MOST_STARS ? "more than %d asterisks in a pattern" : "more than %d patterns", stars > MOST_STARS ? (int)MOST_STARS : (int)MOST_PATTERNS);
	char **more = reallocarray(x->pattern, (size_t)x->n + 1, sizeof *more);
	if (!more)
		return vcr_error_set(e, VCR_ENOMEM, "no memory");
	x->pattern = more;
	if (!(more[x->n] = strndup(pattern, n)))
		return vcr_error_set(e, VCR_ENOMEM, "no memory");
	x->n++;
	return 0;
}

/* A path or a name, that as a whole. */
static bool is_named(const struct vcr_excludes *x, const char *path, const char *name)
{
	for (int i = 0; i < x->n; i++)
		if (!fnmatch(x->pattern[i], strchr(x->pattern[i], '/') ? path : name, FNM_PATHNAME))
			return true;
	return false;
}

bool vcr_excluded(const struct vcr_excludes *x, const char *path)
{
	char at[VCR_MAX_BENEATH];
	size_t n = strlen(path), name = 0;
	if (!x->n || n >= sizeof at)
		return false;
	for (size_t i = 0; i <= n; i++) {
		at[i] = path[i];
		if (path[i] && path[i] != '/')
			continue;
		at[i] = 0;
		if (i > name && is_named(x, at, at + name))
			return true;
		at[i] = '/';
		name = i + 1;
	}
	return false;
}

void vcr_excludes_release(struct vcr_excludes *x)
{
	while (x->n)
		free(x->pattern[--x->n]);
	free(x->pattern);
	x->pattern = NULL;
}
