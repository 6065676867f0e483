// What a product does to its sums; the shader has a constant ACTIVATION: 0 none, 1 silu, 2 gelu (erf),
// 3 gelu (tanh); 4 is matmul's own.

#include "exp.glsl"

vec4 activate(vec4 v)
{
    if (ACTIVATION == 1)
        return v / (1.0 + exp_fast(-v));
    if (ACTIVATION == 2) {
        vec4 x = abs(v) * 0.7071067812, t = 1.0 / (1.0 + 0.3275911 * x);
        vec4 s = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
        return 0.5 * v * (1.0 + sign(v) * (1.0 - s * exp_fast(-x * x)));
    }
    if (ACTIVATION == 3) {
        vec4 u = 0.7978845608 * (v + 0.044715 * v * v * v), e = exp_fast(-2.0 * abs(u));
        return 0.5 * v * (1.0 + sign(u) * (1.0 - e) / (1.0 + e));
    }
    return v;
}
