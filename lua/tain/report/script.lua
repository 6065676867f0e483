--- The page's script: sliders that select again from the stored scores. Without it the page shows what
--- the run selected; it fetches nothing, and touches only what is marked for it.

return [=[
(function () {
  "use strict";
  var data = JSON.parse(document.getElementById("scores").textContent);
  function at(id) { return document.getElementById(id); }

  // As tain.preferences does it: the surest accepted over the surest rejected.
  function choose(list, above, below, pairs) {
    var yes = [], no = [];
    list.forEach(function (c, i) {
      if (c[1] === 1 && c[0] >= above) yes.push(i);
      if (c[1] === 0 && c[0] <= below) no.push(i);
    });
    yes.sort(function (a, b) { return list[b][0] - list[a][0] || a - b; });
    no.sort(function (a, b) { return list[a][0] - list[b][0] || a - b; });
    return { yes: yes, no: no, pairs: Math.min(pairs, yes.length, no.length) };
  }

  var softplus = function (x) { return x > 30 ? x : Math.log1p(Math.exp(x)); };
  var s = function (x) { return 1 / (1 + Math.exp(-x)); };
  var losses = {
    sigmoid: function (x) { return softplus(-x); },
    hinge: function (x) { return Math.max(0, 1 - x); },
    robust: function (x) { return (0.9 * softplus(-x) - 0.1 * softplus(x)) / 0.8; },
    exo_pair: function (x) {
      return s(x) * (-softplus(-x) - Math.log(0.999)) + s(-x) * (-softplus(x) - Math.log(0.001));
    },
    discopop: function (x) {
      var m = x / 0.05;
      return Math.exp(Math.min(80, -softplus(-m) - x)) + softplus(-x) * s(-m);
    }
  };

  function percent(k, n) { return n ? Math.round(100 * k / n) + " %" : "–"; }

  function select() {
    var above = +at("above").value, below = +at("below").value, pairs = +at("pairs-a-prompt").value;
    at("above-is").textContent = above.toFixed(2);
    at("below-is").textContent = below.toFixed(2);
    at("pairs-is").textContent = pairs;
    data.rounds.forEach(function (round, r) {
      var images = 0, used = 0, waiting = 0, count = 0, judged = 0, right = 0, turned = 0;
      round.forEach(function (list) {
        var made = choose(list, above, below, pairs);
        images += made.yes.length;
        count += made.pairs;
        if (made.yes.length) used++; else waiting++;
        for (var i = 0; i < made.pairs; i++) {
          var a = list[made.yes[i]][2], b = list[made.no[i]][2];
          if (a >= 0 && b >= 0) {
            judged++;
            if (a > b) right++;
            if (a < b) turned++;
          }
        }
      });
      [images, used, waiting, count, percent(right, judged), percent(turned, judged)]
        .forEach(function (value, i) { at("r" + r + "-" + i).textContent = value; });
    });
    document.querySelectorAll("[data-strip]").forEach(function (strip) {
      var where = strip.getAttribute("data-strip").split(" ");
      var made = choose(data.rounds[+where[0]][+where[1]], above, below, pairs);
      strip.querySelectorAll("[data-candidate]").forEach(function (role) {
        var i = +role.getAttribute("data-candidate"), yes = made.yes.indexOf(i), no = made.no.indexOf(i);
        role.textContent = yes >= 0 && yes < made.pairs ? "chosen"
          : no >= 0 && no < made.pairs ? "rejected in the pair" : yes >= 0 ? "used by SFT" : "";
      });
    });
  }

  function draw() {
    var chart = data.chart, beta = Math.pow(10, +at("beta").value), loss = losses[at("loss").value];
    at("beta-is").textContent = beta.toPrecision(2);
    function y(d) {
      var v = Math.min(chart.high, Math.max(0, loss(beta * d)));
      return (chart.bottom - v / chart.high * (chart.bottom - chart.top)).toFixed(1);
    }
    function x(d) {
      return (chart.left + (d - chart.from) / (chart.to - chart.from) * (chart.right - chart.left)).toFixed(1);
    }
    var points = [];
    for (var i = 0; i <= 80; i++) {
      var d = chart.from + (chart.to - chart.from) * i / 80;
      points.push(x(d) + "," + y(d));
    }
    at("loss-curve").setAttribute("points", points.join(" "));
    var sum = 0;
    data.d.forEach(function (d, i) {
      sum += loss(beta * d);
      at("d" + i).setAttribute("cy", y(d));
    });
    at("loss-mean").textContent = data.d.length ? (sum / data.d.length).toPrecision(3) : "–";
  }

  ["above", "below", "pairs-a-prompt"].forEach(function (id) { at(id).addEventListener("input", select); });
  ["beta", "loss"].forEach(function (id) {
    if (at(id)) at(id).addEventListener("input", draw);
  });
  at("again").addEventListener("click", function () {
    document.querySelectorAll("#select input, #select select").forEach(function (control) {
      control.value = control.getAttribute("data-first");
    });
    select();
    if (data.chart) draw();
  });
  document.querySelectorAll(".live").forEach(function (one) { one.hidden = false; });
  window.tain = { choose: choose, losses: losses };
})();
]=]
