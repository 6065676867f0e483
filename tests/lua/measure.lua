--- tain.measure: shares with their intervals, what the paper counts, correlations.
local t = require "expect"
local measure = require "tain.measure"

-- Wilson's interval, against values computed elsewhere.
local s = measure.share(130, 300)
t.close({ s.share, s.low, s.high }, { 0.43333, 0.37845, 0.48990 }, 1e-4)
s = measure.share(0, 10)
t.close({ s.share, s.low, s.high }, { 0, 0, 0.27753 }, 1e-4)
s = measure.share(10, 10)
t.close({ s.low, s.high }, { 0.72247, 1 }, 1e-4)
t.equal(measure.share(0, 0), { k = 0, n = 0, low = 0, high = 1 })
t.equal(measure.show(measure.share(0, 0)), "- (0/0)")
t.equal(measure.show(measure.share(130, 300)), "43.3 % (130/300, 37.8 to 49.0)")
t.fails(measure.share, "k must be at most 3", 4, 3)

-- Newcombe's interval of a difference: his example, 56/70 and 48/80.
local gain = measure.gain(measure.share(48, 80), measure.share(56, 70))
t.close({ gain.gain, gain.low, gain.high }, { 0.2, 0.0524, 0.3339 }, 1e-4)
t.that(gain.clear)
t.equal(measure.show_gain(gain), "+20.0 (5.2 to 33.4)")
t.equal(measure.gain(measure.share(0, 0), s), nil)

-- Verdicts.
local own = { "accepted", "rejected", "rejected", "unclear", "rejected", "accepted" }
local outside = { true, false, true, true, nil, false }
local gap, unclear = measure.gap(own)
t.equal({ gap.k, gap.n, unclear }, { 3, 5, 1 })
local blame = measure.blame(own, outside)
t.equal({ blame.k, blame.n }, { 2, 3 })   -- what nobody can read is weak generation
local agreement = measure.agreement(own, outside)
t.equal({ agreement.k, agreement.n }, { 3, 6 })
t.equal(measure.rate(outside, 6).k, 3)
t.fails(measure.counts, "verdict 1 must be accepted, rejected or unclear", { "yes" })

-- Win rate: only where the two differ; nothing differs: even.
local new = { "rejected", "rejected", "accepted", "accepted", "accepted", "rejected" }
local win = measure.win(own, new, outside)
t.equal({ win.k, win.n }, { 2, 4 })
t.that(not win.even)
win = measure.win(own, own, outside)
t.equal({ win.share, win.k, win.n, win.even }, { 0.5, 0, 0, true })

-- Correlations.
t.close(measure.pearson({ 1, 2, 3, 4 }, { 2, 4, 6, 8.5 }), 0.99838, 1e-4)
t.close(measure.spearman({ 10, 20, 30, 40 }, { 1, 9, 80, 7000 }), 1, 1e-12)
t.close(measure.spearman({ 1, 2, 2, 3 }, { 3, 2, 2, 1 }), -1, 1e-12)
t.equal(measure.pearson({ 1, 1, 1 }, { 1, 2, 3 }), nil)
t.equal(measure.pearson({ 1, 2 }, { 1, 2 }), nil)
t.fails(measure.pearson, "x has 1 numbers and y has 2", { 1 }, { 1, 2 })
local m, d = measure.mean { 2, 4, 6 }
t.close({ m, d }, { 4, 2 }, 1e-12)
