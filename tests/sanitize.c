/* sanitize.c - what `make asan` links into every program: how the sanitizers are set up. */

#define PUBLIC __attribute__((visibility("default"), used))

PUBLIC const char *__asan_default_options(void)
{
    return "detect_leaks=1:detect_stack_use_after_return=1:allocator_may_return_null=1";
}

PUBLIC const char *__ubsan_default_options(void)
{
    return "print_stacktrace=1:halt_on_error=1";
}

/* The CPU Vulkan driver and its LLVM keep what they made until the process ends; libedit loses copies of lines
 * (wcsdup, which nothing here calls) when history is gone through. */
PUBLIC const char *__lsan_default_suppressions(void)
{
    return "leak:libvulkan_lvp\nleak:libLLVM\nleak:libvulkan.so\nleak:libVkLayer\nleak:wcsdup";
}

/* Unloading the driver would take the names away that the lines above go by. */
PUBLIC int dlclose(void *library)
{
    (void)library;
    return 0;
}
