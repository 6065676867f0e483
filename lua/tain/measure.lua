--- What was counted, and how sure one may be of it.
---
--- A share is { k =, n =, share =, low =, high = }: k of n, and the 95 % interval of Wilson, which
--- stays within 0 and 1 and is right for small counts too. Nothing here is a percentage before
--- `measure.show` writes it.

local check = require "tain.check"

local measure = {}

local Z = 1.959963984540054   -- 95 %, two-sided

--- k of n, with its 95 % interval. 0 of 0 is nothing known: share nil, from 0 to 1.
---
--- @param k integer
--- @param n integer
--- @return table # { k =, n =, share =, low =, high = }
function measure.share(k, n)
  check.integer("measure.share", "n", n, 0)
  check.integer("measure.share", "k", k, 0, n)
  if n == 0 then return { k = 0, n = 0, low = 0, high = 1 } end
  local p, z2 = k / n, Z * Z
  local middle = (p + z2 / (2 * n)) / (1 + z2 / n)
  local reach = Z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
  return { k = k, n = n, share = p,
    low = k == 0 and 0 or middle - reach, high = k == n and 1 or middle + reach }
end

--- How much greater share b is than share a, with its 95 % interval (Newcombe's of two Wilson
--- intervals). The samples are taken as independent.
---
--- @param a table
--- @param b table
--- @return table? # { gain =, low =, high =, clear = whether 0 is outside }; nil if one is of nothing
function measure.gain(a, b)
  if not a.share or not b.share then return nil end
  local gain = b.share - a.share
  local low = gain - math.sqrt((b.share - b.low) ^ 2 + (a.high - a.share) ^ 2)
  local high = gain + math.sqrt((b.high - b.share) ^ 2 + (a.share - a.low) ^ 2)
  return { gain = gain, low = low, high = high, clear = low > 0 or high < 0 }
end

--- Writes a share: "43.3 % (130/300, 37.8 to 49.0)".
---
--- @param share table
--- @return string
function measure.show(share)
  if not share.share then return "- (0/0)" end
  return ("%.1f %% (%d/%d, %.1f to %.1f)"):format(100 * share.share, share.k, share.n,
    100 * share.low, 100 * share.high)
end

--- Writes a gain: "+9.6 (3.2 to 15.9)".
---
--- @param gain table?
--- @return string
function measure.show_gain(gain)
  if not gain then return "-" end
  return ("%+.1f (%.1f to %.1f)"):format(100 * gain.gain, 100 * gain.low, 100 * gain.high)
end

-- ---- What the paper counts ----

--- How many of each word: accepted, rejected, unclear.
---
--- @param verdicts string[]
--- @return table<string, integer>
function measure.counts(verdicts)
  check.table("measure.counts", "verdicts", verdicts)
  local counts = { accepted = 0, rejected = 0, unclear = 0 }
  for i, verdict in ipairs(verdicts) do
    if not counts[verdict] then
      check.raise("measure.counts: verdict %d must be accepted, rejected or unclear, not %s", i,
        check.show(verdict))
    end
    counts[verdict] = counts[verdict] + 1
  end
  return counts
end

--- Non-unification: the share of a model's own images that it rejects, of those it gave a verdict
--- on.
---
--- @param verdicts string[]
--- @return table share
--- @return integer unclear how many had no verdict
function measure.gap(verdicts)
  local counts = measure.counts(verdicts)
  return measure.share(counts.rejected, counts.accepted + counts.rejected), counts.unclear
end

--- How often something was so. What is nil counts as not so.
---
--- @param truths table list of true, false, nil
--- @param n integer how many there are
--- @return table share
function measure.rate(truths, n)
  local k = 0
  for i = 1, n do k = k + (truths[i] == true and 1 or 0) end
  return measure.share(k, n)
end

-- What a verdict says of the image; nil if it says nothing.
local function opinion(verdict)
  if verdict == "accepted" then return true end
  if verdict == "rejected" then return false end
end

-- An outside judge says true, false, or nil when it cannot read the image. Such an image does not
-- show what it should, so everywhere here nil counts as false.

--- How often verdicts are what an outside judge says. A verdict that is unclear is wrong.
---
--- @param verdicts string[]
--- @param outside table true, false or nil for each
--- @return table share
function measure.agreement(verdicts, outside)
  local right = 0
  for i, verdict in ipairs(verdicts) do
    right = right + (opinion(verdict) == (outside[i] == true) and 1 or 0)
  end
  return measure.share(right, #verdicts)
end

--- Whose fault the rejected images are: of weak generation if an outside judge rejects them too,
--- else of misunderstanding.
---
--- @param verdicts string[]
--- @param outside table true, false or nil for each
--- @return table share of weak generation among rejected images
function measure.blame(verdicts, outside)
  local weak, n = 0, 0
  for i, verdict in ipairs(verdicts) do
    if verdict == "rejected" then
      n = n + 1
      weak = weak + (outside[i] == true and 0 or 1)
    end
  end
  return measure.share(weak, n)
end

--- Win rate of understanding: among the same images where two verdicts differ, how often the new
--- one is the outside judge's. Without any difference it is 50 %, and `even` is true.
---
--- @param before string[]
--- @param after string[]
--- @param outside table true, false or nil for each
--- @return table share
function measure.win(before, after, outside)
  local won, n = 0, 0
  for i = 1, #before do
    local old, new = opinion(before[i]), opinion(after[i])
    if old ~= nil and new ~= nil and old ~= new then
      n = n + 1
      won = won + (new == (outside[i] == true) and 1 or 0)
    end
  end
  local share = measure.share(won, n)
  if n == 0 then share.share, share.even = 0.5, true end
  return share
end

-- ---- Two lists of numbers ----

local function mean(list)
  local sum = 0
  for _, value in ipairs(list) do sum = sum + value end
  return sum / #list
end

--- @param list number[]
--- @return number mean
--- @return number deviation of the sample; 0 for one number
function measure.mean(list)
  check.table("measure.mean", "list", list)
  local m, sum = mean(list), 0
  for _, value in ipairs(list) do sum = sum + (value - m) ^ 2 end
  return m, #list > 1 and math.sqrt(sum / (#list - 1)) or 0
end

local function same_length(fn, x, y)
  check.table(fn, "x", x)
  check.table(fn, "y", y)
  if #x ~= #y then check.raise("%s: x has %d numbers and y has %d", fn, #x, #y) end
end

--- Pearson's correlation; nil if one of them does not vary or there are fewer than three.
---
--- @param x number[]
--- @param y number[]
--- @return number?
function measure.pearson(x, y)
  same_length("measure.pearson", x, y)
  if #x < 3 then return nil end
  local mx, my, xy, xx, yy = mean(x), mean(y), 0, 0, 0
  for i = 1, #x do
    local a, b = x[i] - mx, y[i] - my
    xy, xx, yy = xy + a * b, xx + a * a, yy + b * b
  end
  if xx == 0 or yy == 0 then return nil end
  return xy / math.sqrt(xx * yy)
end

-- Each number's place in ascending order, from 1; equal ones share the mean of their places.
local function ranks(list)
  local order, rank = {}, {}
  for i = 1, #list do order[i] = i end
  table.sort(order, function(a, b) return list[a] < list[b] end)
  local i = 1
  while i <= #order do
    local j = i
    while j < #order and list[order[j + 1]] == list[order[i]] do j = j + 1 end
    for k = i, j do rank[order[k]] = (i + j) / 2 end
    i = j + 1
  end
  return rank
end

--- Spearman's correlation: Pearson's of the ranks.
---
--- @param x number[]
--- @param y number[]
--- @return number?
function measure.spearman(x, y)
  same_length("measure.spearman", x, y)
  return measure.pearson(ranks(x), ranks(y))
end

return measure
