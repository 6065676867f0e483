/* signal.c - Ctrl-C, and a terminal that goes away.
 *
 * The handler sets a flag that the core reads at every submit and wait and that loops in Lua read
 * between steps; what they then raise reaches the recipe as an ordinary error. A recipe that gets
 * to no such point for some seconds, or twice as long as its loop took between two looks, is stopped by a hook. LuaJIT looks at hooks in interpreted code
 * only, so a compiled loop that never calls tain ends with the second signal. From a terminal that has
 * gone no second one will come: what does not come to a safe point then is ended after some seconds.
 */
#include "host/host.h"

#include "base/base.h"

#include <lauxlib.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define GRACE 2.0  /* seconds */
#define ALONE 10   /* seconds without a terminal until a safe point */
#define LONGEST 60 /* seconds that a loop's own safe points may lie apart */

static lua_State *volatile state;
static pthread_t thread; /* the one that runs Lua */
static volatile double asked; /* when; only the hook reads it */
static volatile sig_atomic_t latest;
static volatile int quiet = -1;
static double grace = GRACE;
static double looked, apart; /* when a loop last looked whether to leave; how long one took from look to look */

static void stop(lua_State *L, lua_Debug *where)
{
    double patience = 2 * apart > grace ? 2 * apart : grace;

    if (base_seconds() - asked < patience)
        return;
    (void)where;
    alarm(0);
    lua_sethook(L, NULL, 0, 0);
    luaL_error(L, "interrupted");
}

static void nobody(int signal)
{
    (void)signal;
    _exit(130);
}

static void handle(int signal)
{
    static const char note[] = "\ntain: ending at the next safe point; once more ends at once\n";

    if (!pthread_equal(pthread_self(), thread)) { /* a driver's: Lua is not to be touched from there */
        pthread_kill(thread, signal);
        return;
    }
    if (signal == SIGHUP && base_interrupted)
        return; /* the shell and the system each send one */
    latest = signal;
    if (quiet >= 0) {
        base_interrupted = 1;
        if (write(quiet, "s", 1) < 0)
            return; /* it is full: whoever reads it will look */
        return;
    }
    if (base_interrupted++)
        _exit(130);
    if (signal == SIGHUP)
        alarm(ALONE + (unsigned)(2 * apart));
    if (write(STDERR_FILENO, note, sizeof(note) - 1) < 0) {
        /* nobody is there to read it */
    }
    asked = base_seconds(); /* clock_gettime is safe in a handler */
    if (state)
        lua_sethook(state, stop, LUA_MASKCOUNT, 1000); /* so is this: the interpreter's own way */
}

void host_signals_open(lua_State *L)
{
    struct sigaction action, before;

    state = L;
    thread = pthread_self();
    memset(&action, 0, sizeof(action));
    action.sa_handler = handle;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (!sigaction(SIGHUP, NULL, &before) && before.sa_handler != SIG_IGN) /* not under nohup */
        sigaction(SIGHUP, &action, NULL);
    action.sa_handler = nobody;
    sigaction(SIGALRM, &action, NULL);
    action.sa_handler = SIG_IGN; /* a closed terminal or pipe is no reason to lose a run */
    sigaction(SIGPIPE, &action, NULL);
}

void host_signals_quiet(int fd)
{
    quiet = fd;
}

int host_signals_latest(void)
{
    return latest;
}

void host_signals_looked(void)
{
    double now = base_seconds(), since = now - looked;

    if (looked > 0 && since > apart)
        apart = since < LONGEST ? since : LONGEST;
    looked = now;
}

void host_signals_forget(double seconds)
{
    grace = seconds;
    looked = apart = 0;
    if (latest && latest != SIGINT)
        return; /* who was told to end, ends, wherever it was just then */
    base_interrupted = 0;
    if (state)
        lua_sethook(state, NULL, 0, 0);
}

void host_signals_close(void)
{
    state = NULL;
}
