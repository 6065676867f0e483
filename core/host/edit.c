/* edit.c - a line from the keyboard, with libedit: history, completion, Ctrl-C.
 *
 * A signal may arrive on any thread, and a driver has many, so handlers write into a pipe on which the
 * wait for a key looks too. Ctrl-C then ends the line and nothing else. What a Tab completes is decided in Lua; see lua/tain/repl.lua.
 */
#include "host/host.h"

#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <lauxlib.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#define HISTORY 2000 /* lines */
#define CONTROL_D 4

static struct {
    EditLine *line;
    History *history;
    lua_State *L;
    int complete; /* the Lua function, in the registry */
    const char *prompt;
    int wake[2]; /* a pipe */
} edit;

static void resize(int signal)
{
    (void)signal;
    if (write(edit.wake[1], "w", 1) < 0)
        return; /* it is full: whoever reads it will look */
}

static char *prompt(EditLine *line)
{
    (void)line;
    return (char *)edit.prompt;
}

/* A byte, or -1 at the end of input or when the user asked to stop. */
static int next_byte(void)
{
    while (!base_interrupted) {
        struct pollfd from[] = { { STDIN_FILENO, POLLIN, 0 }, { edit.wake[0], POLLIN, 0 } };
        unsigned char byte;
        char notes[64];

        if (poll(from, 2, -1) < 0 && errno != EINTR)
            return -1;
        if (from[1].revents && read(edit.wake[0], notes, sizeof(notes)) > 0) {
            el_resize(edit.line);
        } else if (from[0].revents) {
            ssize_t n = read(STDIN_FILENO, &byte, 1);
            if (n == 1) /* NUL: a Ctrl-D typed while the terminal was not ours, as it reads in a raw one */
                return byte ? byte : CONTROL_D;
            if (n == 0 || errno != EINTR)
                return -1;
        }
    }
    return -1;
}

static int next_character(EditLine *line, wchar_t *out)
{
    mbstate_t state;

    (void)line;
    memset(&state, 0, sizeof(state));
    for (;;) {
        int byte = next_byte();
        char c = (char)byte;
        size_t used;

        if (byte < 0)
            return -1;
        used = mbrtowc(out, &c, 1, &state);
        if (used != (size_t)-2 && used != (size_t)-1)
            return 1;
        if (used == (size_t)-1)
            memset(&state, 0, sizeof(state)); /* what is no UTF-8 is passed over */
    }
}

static int longest(const char *a, size_t b_count, const char *b)
{
    size_t n = 0;

    while (n < b_count && a[n] && a[n] == b[n])
        n++;
    return (int)n;
}

/* Writes candidates below the line, in columns. */
static void list(lua_State *L, int count)
{
    size_t widest = 1;
    int columns = 80, shown = count < 120 ? count : 120;

    el_get(edit.line, EL_GETTC, "co", &columns, (void *)0);
    for (int i = 1; i <= shown; i++) {
        lua_rawgeti(L, -1, i);
        if (lua_objlen(L, -1) > widest)
            widest = lua_objlen(L, -1);
        lua_pop(L, 1);
    }
    int across = columns / ((int)widest + 2);
    if (across < 1)
        across = 1;
    putchar('\n');
    for (int i = 1; i <= shown; i++) {
        lua_rawgeti(L, -1, i);
        printf("%-*s%s", (int)widest + 2, lua_tostring(L, -1), i % across && i < shown ? "" : "\n");
        lua_pop(L, 1);
    }
    if (shown < count)
        printf("... and %d more\n", count - shown);
    fflush(stdout);
}

/* Tab. The function gets what stands before the cursor; it returns how many bytes of that are being
 * completed, what they could become, and what to write after the only one. */
static unsigned char complete(EditLine *line, int key)
{
    const LineInfo *info = el_line(line);
    lua_State *L = edit.L;
    int top = lua_gettop(L), answer = CC_ERROR;

    (void)key;
    if (!lua_checkstack(L, 16))
        return CC_ERROR;
    lua_rawgeti(L, LUA_REGISTRYINDEX, edit.complete);
    lua_pushlstring(L, info->buffer, (size_t)(info->cursor - info->buffer));
    if (!lua_pcall(L, 1, 3, 0) && lua_istable(L, top + 2)) {
        size_t given = (size_t)lua_tointeger(L, top + 1);
        int count = (int)lua_objlen(L, top + 2);
        const char *after = lua_tostring(L, top + 3);

        lua_settop(L, top + 2);
        if (count > 0) {
            size_t n;
            const char *first;
            int common;

            lua_rawgeti(L, top + 2, 1);
            first = lua_tolstring(L, -1, &n);
            common = (int)n;
            for (int i = 2; i <= count; i++) {
                lua_rawgeti(L, top + 2, i);
                int c = longest(lua_tostring(L, -1), (size_t)common, first);
                if (c < common)
                    common = c;
                lua_pop(L, 1);
            }
            if ((size_t)common > given) {
                char *more = strndup(first + given, (size_t)common - given);

                if (more && !el_insertstr(line, more))
                    answer = CC_REFRESH;
                free(more);
                if (count == 1 && after)
                    el_insertstr(line, after);
            } else if (count == 1) {
                if (after && !el_insertstr(line, after))
                    answer = CC_REFRESH;
            } else {
                lua_settop(L, top + 2);
                list(L, count);
                answer = CC_REDISPLAY;
            }
        }
    }
    lua_settop(L, top);
    return (unsigned char)answer;
}

/* edit_open(complete) -> whether lines can be edited here */
static int edit_open(lua_State *L)
{
    HistEvent event;
    struct sigaction action;

    luaL_checktype(L, 1, LUA_TFUNCTION);
    setlocale(LC_CTYPE, "");
    if (MB_CUR_MAX == 1)
        setlocale(LC_CTYPE, "C.UTF-8");
    edit.line = el_init("tain", stdin, stdout, stderr);
    edit.history = history_init();
    if (!edit.line || !edit.history || pipe(edit.wake))
        return 0;
    for (int i = 0; i < 2; i++)
        fcntl(edit.wake[i], F_SETFL, O_NONBLOCK);
    edit.L = L;
    lua_settop(L, 1);
    edit.complete = luaL_ref(L, LUA_REGISTRYINDEX);
    history(edit.history, &event, H_SETSIZE, HISTORY);
    history(edit.history, &event, H_SETUNIQUE, 1);
    el_set(edit.line, EL_PROMPT, prompt);
    el_set(edit.line, EL_EDITOR, "emacs");
    el_set(edit.line, EL_HIST, history, edit.history);
    el_set(edit.line, EL_GETCFN, next_character);
    el_set(edit.line, EL_ADDFN, "complete", "Completes names", complete);
    el_set(edit.line, EL_BIND, "^I", "complete", NULL);
    el_set(edit.line, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_set(edit.line, EL_BIND, "\033[1~", "ed-move-to-beg", NULL);
    el_set(edit.line, EL_BIND, "\033[4~", "ed-move-to-end", NULL);
    el_set(edit.line, EL_BIND, "\033[3~", "ed-delete-next-char", NULL);
    el_set(edit.line, EL_BIND, "\033[1;5C", "em-next-word", NULL);
    el_set(edit.line, EL_BIND, "\033[1;5D", "ed-prev-word", NULL);
    el_source(edit.line, NULL); /* ~/.editrc wins */
    memset(&action, 0, sizeof(action));
    action.sa_handler = resize;
    sigaction(SIGWINCH, &action, NULL);
    lua_pushboolean(L, 1);
    return 1;
}

/* edit_line(prompt) -> the line, false after Ctrl-C, nil at the end */
static int edit_line(lua_State *L)
{
    int count = 0;
    const char *line;

    edit.prompt = luaL_checkstring(L, 1);
    host_signals_quiet(edit.wake[1]);
    line = el_gets(edit.line, &count);
    host_signals_quiet(-1);
    if (line && count > 0) {
        lua_pushlstring(L, line, (size_t)count - (line[count - 1] == '\n'));
    } else if (base_interrupted) {
        if (host_signals_latest() != SIGINT)
            return 0;
        lua_pushboolean(L, 0);
    } else {
        return 0;
    }
    return 1;
}

/* edit_add(line): to what the arrow keys bring back */
static int edit_add(lua_State *L)
{
    HistEvent event;

    history(edit.history, &event, H_ENTER, luaL_checkstring(L, 1));
    return 0;
}

static int edit_close(lua_State *L)
{
    (void)L;
    if (edit.history)
        history_end(edit.history);
    if (edit.line)
        el_end(edit.line);
    signal(SIGWINCH, SIG_DFL);
    close(edit.wake[0]);
    close(edit.wake[1]);
    memset(&edit, 0, sizeof(edit));
    return 0;
}

void host_edit_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        { "edit_open", edit_open },
        { "edit_line", edit_line },
        { "edit_add", edit_add },
        { "edit_close", edit_close },
        { NULL, NULL },
    };

    luaL_register(L, NULL, functions);
}
