"""Charts: functions from small data frames to plotly figures."""
