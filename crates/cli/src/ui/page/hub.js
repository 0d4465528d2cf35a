// The parts of the page, one for each section.

import "./figures.js";
import "./publish.js";
import "./watch.js";
import "./active.js";
import "./explain.js";
import "./history.js";
