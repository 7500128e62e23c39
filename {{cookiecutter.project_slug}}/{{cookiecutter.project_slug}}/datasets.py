# {% include "tasks/" ~ cookiecutter.task ~ "/datasets.py" %}
