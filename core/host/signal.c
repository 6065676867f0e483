/* signal.c - Ctrl-C.
 *
 * The handler sets a flag that the core reads at every submit and wait and that loops in Lua read
 * between steps; what they then raise reaches the recipe as an ordinary error. A recipe that gets
 * to no such point for some seconds is stopped by a hook. LuaJIT looks at hooks in interpreted code
 * only, so a compiled loop that never calls tain ends with the second signal.
 */
#include "host/host.h"

#include "base/base.h"

#include <lauxlib.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define GRACE 2.0 /* seconds */

static lua_State *volatile state;
static volatile double asked; /* when; only the hook reads it */

static void stop(lua_State *L, lua_Debug *where)
{
    (void)where;
    if (base_seconds() - asked < GRACE)
        return;
    lua_sethook(L, NULL, 0, 0);
    luaL_error(L, "interrupted");
}

static void handle(int signal)
{
    static const char note[] = "\ntain: ending at the next safe point; once more ends at once\n";

    (void)signal;
    if (base_interrupted++)
        _exit(130);
    if (write(STDERR_FILENO, note, sizeof(note) - 1) < 0)
        return; /* nobody is there to read it */
    asked = base_seconds(); /* clock_gettime is safe in a handler */
    if (state)
        lua_sethook(state, stop, LUA_MASKCOUNT, 1000); /* so is this: the interpreter's own way */
}

void host_signals_open(lua_State *L)
{
    struct sigaction action;

    state = L;
    memset(&action, 0, sizeof(action));
    action.sa_handler = handle;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    action.sa_handler = SIG_IGN; /* a closed terminal or pipe is no reason to lose a run */
    sigaction(SIGPIPE, &action, NULL);
}

void host_signals_close(void)
{
    state = NULL;
}
