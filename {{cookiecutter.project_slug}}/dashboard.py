# {% include "loggers/" ~ cookiecutter.logger ~ "/dashboard.py" %}
