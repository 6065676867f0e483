// The mask is a rule: query i sees key j if j <= reach(i), and segment(j) is 0 or segment(i);
// a negative segment hides a key from all. RULES 0 none, 1 causal (reach(i) = i + past),
// 2 reach and segment are read, 3 the same, and reach(i) is known to be at most i + past.
// Push has rule_at, queries, keys and past.

// The mask of a query: how far it sees, and its segment.
struct Rule {
    uint reach;
    int segment;
};

Rule rule_of(uint b, uint i, uint batches)
{
    if (RULES == 1)
        return Rule(i + p.past, 0);
    if (RULES >= 2) {
        uint at = p.rule_at + batches * p.keys + (b * p.queries + i) * 2;
        return Rule(GET1U(rule, at), int(GET1U(rule, at + 1)));
    }
    return Rule(0xffffffffu, 0);
}

bool sees(Rule r, uint j, int segment)
{
    return j <= r.reach && (RULES < 2 || segment == 0 || (segment > 0 && segment == r.segment));
}

int segment_of(uint b, uint j)
{
    return RULES >= 2 ? int(GET1U(rule, p.rule_at + b * p.keys + j)) : 0;
}
